"""CVAT's settings, with sign-up for administrators alone: everybody else's `POST /api/auth/register` is refused."""

from cvat.settings.production import *  # noqa: F403

REST_AUTH["REGISTER_PERMISSION_CLASSES"] = ["rest_framework.permissions.IsAdminUser"]  # noqa: F405
