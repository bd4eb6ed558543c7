"""The stand-in server's answers, a module for each part of CVAT's API."""
