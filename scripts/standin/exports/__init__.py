"""Datasets out of projects and tasks."""
