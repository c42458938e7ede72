"""A project of Django whose own tests are run by Django's runner, as a team runs its own."""
