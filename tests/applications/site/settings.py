"""Django's settings."""

import os

SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["*"]
DEBUG = False
ROOT_URLCONF = "tests.applications.site.urls"
INSTALLED_APPS = ["tests.applications.site.shop"]
USE_TZ = True
GEARMAN_SERVERS = os.environ["GEARMAN_SERVERS"]
