"""Addresses of the settings, and of the links that let people in."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path
from django.views.generic import RedirectView

from rowmill.web import people_entry, people_pages, settings_imports, settings_payers, settings_practices

urlpatterns: list[URLPattern | URLResolver] = [
    path("invitation/<str:token>/", people_entry.invitation, name="invitation"),
    path("sign-in/<str:token>/", people_entry.sign_in_link, name="sign-in-link"),
    path("orgs/", people_pages.choose_org, name="orgs"),
    path("orgs/switch/", people_pages.switch_org, name="switch-org"),
    path("settings/", RedirectView.as_view(pattern_name="people", permanent=False), name="settings"),
    path("settings/people/", people_pages.people, name="people"),
    path("settings/people/invite/", people_pages.invite, name="invite"),
    path("settings/people/<int:membership_id>/role/", people_pages.change_role, name="change-role"),
    path("settings/people/<int:membership_id>/remove/", people_pages.remove_person, name="remove-person"),
    path("settings/invitations/<uuid:public_id>/resend/", people_pages.resend_invitation, name="resend-invitation"),
    path("settings/invitations/<uuid:public_id>/revoke/", people_pages.revoke_invitation, name="revoke-invitation"),
    path("settings/imports/", settings_imports.import_settings, name="import-settings"),
    path("settings/practices/", settings_practices.practice_list, name="practices"),
    path("settings/practices/new/", settings_practices.add_practice, name="add-practice"),
    path("settings/practices/<uuid:public_id>/", settings_practices.edit_practice, name="practice"),
    path("settings/practices/<uuid:public_id>/remove/", settings_practices.remove_practice, name="remove-practice"),
    path("settings/payer-accounts/", settings_payers.account_list, name="payer-accounts"),
    path("settings/payer-accounts/new/", settings_payers.add_account, name="add-payer-account"),
    path("settings/payer-accounts/<uuid:public_id>/", settings_payers.edit_account, name="payer-account"),
    path(
        "settings/payer-accounts/<uuid:public_id>/remove/", settings_payers.remove_account, name="remove-payer-account"
    ),
    path("settings/payer-accounts/<uuid:public_id>/test/", settings_payers.test_connection, name="test-payer-account"),
]
