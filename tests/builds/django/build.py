"""`collectstatic` with ManifestStaticFilesStorage, and the application's pages written as files beside it."""

import pathlib
import shutil

import django
from django.conf import settings
from django.core.management import call_command

here = pathlib.Path(__file__).parent
settings.configure(
    BASE_DIR=here,
    INSTALLED_APPS=["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.staticfiles", "shop"],
    STATIC_URL="/static/",
    STATIC_ROOT=here / "out" / "static",
    STORAGES={"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
)
django.setup()
call_command("collectstatic", interactive=False, verbosity=0)

from django.template.loader import render_to_string  # noqa: E402

for template in sorted((here / "shop" / "templates").glob("*.html")):
    if template.name != "base.html":
        (here / "out" / template.name).write_text(render_to_string(template.name))
shutil.copytree(here / "public", here / "out", dirs_exist_ok=True)
