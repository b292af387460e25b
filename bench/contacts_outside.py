"""For bench/contacts.py: one way of another library to put contacts that are there already into the same table again.

    python bench/contacts_outside.py pandas_to_sql|import_export ROWS     (DATABASE_URL and the rest as the bench has them)

Prints JSON: {"seconds", "rows"}. The rows are typed and clean; reading them is not counted.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


def main() -> None:
    """Run one."""
    from rowmill.cli.serving import set_up_django

    set_up_django()
    name, rows = sys.argv[1], int(sys.argv[2])
    from rowmill.models import Contact

    found = list(Contact.objects.order_by("pk")[:rows].values())
    Contact.objects.all().delete()
    seconds = {"pandas_to_sql": pandas_to_sql, "import_export": import_export}[name](found)
    print(json.dumps({"seconds": seconds, "rows": len(found)}))


def pandas_to_sql(found: list[dict[str, Any]]) -> float:
    """Append by pandas in blocks of 10,000."""
    import pandas
    from sqlalchemy import create_engine, inspect

    engine = create_engine(os.environ["DATABASE_URL"].replace("postgres://", "postgresql+psycopg://", 1))
    kinds = {column["name"]: column["type"] for column in inspect(engine).get_columns("rowmill_contact")}
    frame = pandas.DataFrame(found, dtype=object)
    begun = time.perf_counter()
    frame.to_sql("rowmill_contact", engine, if_exists="append", index=False, chunksize=10_000, dtype=kinds)
    return time.perf_counter() - begun


def import_export(found: list[dict[str, Any]]) -> float:
    """Import a data set by django-import-export in its bulk mode, which looks every row up first."""
    import tablib
    from import_export import resources

    from rowmill.models import Contact

    class Contacts(resources.ModelResource):
        """All columns, told apart by their key."""

        class Meta:
            model = Contact
            use_bulk = True
            batch_size = 10_000
            import_id_fields = ("match_key",)
            exclude = ("id",)

    exported = Contacts().export(queryset=[Contact(**row) for row in found])
    data = tablib.Dataset().load(exported.export("csv"), format="csv")
    begun = time.perf_counter()
    Contacts().import_data(data, raise_errors=True)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
