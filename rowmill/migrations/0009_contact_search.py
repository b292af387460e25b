# Made by hand after Django 5.2.19's makemigrations.

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# As rowmill.contacts.words has it: a query uses the index only where both are the same.
LEXEMES = """
array_to_tsvector(array_remove(string_to_array(org_id || '.' || replace(lower(replace(left(first_name, 60) || ' ' ||
left(last_name, 60) || ' ' || left(company, 80), '-', ' ') || ' ' || replace(left(email, 120), '@', ' ')
|| CASE WHEN stage = '' THEN '' ELSE E' s\\x1f' || replace(left(stage, 40), ' ', '_') END
|| CASE WHEN seniority = '' THEN '' ELSE E' r\\x1f' || replace(left(seniority, 40), ' ', '_') END
|| CASE WHEN country = '' THEN '' ELSE E' c\\x1f' || replace(left(country, 40), ' ', '_') END
|| CASE WHEN industry = '' THEN '' ELSE E' i\\x1f' || replace(left(industry, 40), ' ', '_') END
|| CASE WHEN email = '' THEN E' e\\x1f' ELSE '' END) || ' ' ||
replace(replace(reverse(jsonb_path_query_array(phone_numbers, '$.*')::text), '][', ''), ']"', ',"'),
' ', ' ' || org_id || '.'), ' '), org_id || '.'))
"""


def add_search_index(apps, schema_editor):
    """Imports append to the index's pending list, 64 MB long; autovacuum sorts it in."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            f"CREATE INDEX contact_search ON rowmill_contact USING gin (({LEXEMES})) "
            "WITH (fastupdate = on, gin_pending_list_limit = 65536)"
        )


def drop_search_index(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX contact_search")


class Migration(migrations.Migration):

    dependencies = [
        ('rowmill', '0008_effects'),
    ]

    operations = [
        migrations.CreateModel(
            name='ChosenColumns',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('columns', models.JSONField(default=list)),
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='chosen_columns', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.RunPython(add_search_index, drop_search_index),
    ]
