"""A Django project with Django's own login that tells its users what happens; see docs/django.md."""
