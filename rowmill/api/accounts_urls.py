"""Addresses of practices and payer accounts, to be put under /api/v1/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from rowmill.api.accounts import AccountsView, AccountTestView, AccountView, PracticesView, PracticeView

urlpatterns: list[URLPattern | URLResolver] = [
    path("practices/", PracticesView.as_view(), name="api-practices"),
    path("practices/<uuid:practice_id>/", PracticeView.as_view(), name="api-practice"),
    path("payer-accounts/", AccountsView.as_view(), name="api-payer-accounts"),
    path("payer-accounts/<uuid:account_id>/", AccountView.as_view(), name="api-payer-account"),
    path("payer-accounts/<uuid:account_id>/test/", AccountTestView.as_view(), name="api-test-payer-account"),
]
