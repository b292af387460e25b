"""Practices and payer accounts as JSON: members read, admins change, secrets only go in."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from rowmill.api.base import OrgView
from rowmill.api.problems import problems
from rowmill.claims import credentials, practices
from rowmill.models import PayerAccount, Practice
from rowmill.orgs import Caller, fetch, own

LIST = problems(401, 403, 404)
ADD = problems(400, 401, 403, 413, 415)
SHOW = problems(401, 403, 404)
CHANGE = problems(400, 401, 403, 404, 413, 415)
ACT = problems(401, 403, 404, 415)


class PracticeShape(serializers.Serializer[Any]):
    """A practice. Units: tin nine digits (a dash is taken and dropped), npi ten digits or blank."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    name = serializers.CharField(max_length=200)
    tin = serializers.CharField(max_length=20)
    npi = serializers.CharField(max_length=20, allow_blank=True, required=False, default="")
    npi_fits = serializers.SerializerMethodField(
        help_text="Whether the NPI's check digit is right. A wrong one is saved."
    )
    created_at = serializers.DateTimeField(read_only=True)

    @extend_schema_field(bool)
    def get_npi_fits(self, practice: Practice) -> bool:
        """Tell whether the check digit is right."""
        return practices.npi_fits(practice.npi)


class AccountLabel(serializers.Serializer[Any]):
    """What every member of the org may know of a payer account."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    payer = serializers.CharField(max_length=40)
    payer_id = serializers.CharField(max_length=20, required=False, default="87726")
    practice = serializers.UUIDField(
        source="practice.public_id",
        allow_null=True,
        required=False,
        default=None,
        help_text="Null: for every practice.",
    )
    environment = serializers.CharField(max_length=40, allow_blank=True, required=False, default="")
    state = serializers.SerializerMethodField(help_text="new, ready, or refused by the payer.")
    broken_code = serializers.CharField(read_only=True)
    tested_at = serializers.DateTimeField(read_only=True, allow_null=True)

    @extend_schema_field(serializers.ChoiceField(["new", "ready", "refused"]))
    def get_state(self, account: PayerAccount) -> str:
        """Say how things stand with the payer."""
        return "refused" if account.broken_code else "ready" if account.tested_at else "new"


class AccountShape(AccountLabel):
    """A payer account as its admins see it. The credentials go in and never come out."""

    base_url = serializers.CharField(max_length=500)
    token_url = serializers.CharField(max_length=500)
    calls_per_minute = serializers.IntegerField(
        min_value=0, required=False, default=0, help_text="0: no limit of ours."
    )
    in_flight = serializers.IntegerField(min_value=1, required=False, default=10)
    client_id = serializers.CharField(max_length=500, write_only=True)
    client_secret = serializers.CharField(max_length=2000, write_only=True, trim_whitespace=False)


class VerdictShape(serializers.Serializer[Any]):
    """What became of a connection test."""

    ok = serializers.BooleanField()
    code = serializers.CharField(allow_blank=True)
    message = serializers.CharField()
    seconds = serializers.FloatField()


class PracticesView(OrgView, GenericAPIView[Practice]):
    """In whose name payers are asked."""

    queryset = Practice.objects.none()
    serializer_class: type[BaseSerializer[Any]] = PracticeShape
    filter_backends = ()

    @extend_schema(operation_id="list_practices", tags=["practices"], responses={200: PracticeShape(many=True), **LIST})
    def get(self, request: Request) -> Response:
        """List the org's practices by name, page by page."""
        page = self.paginate_queryset(own(self.caller, Practice)) or []
        return self.get_paginated_response(PracticeShape(page, many=True).data)

    @extend_schema(
        operation_id="add_practice", tags=["practices"], request=PracticeShape, responses={201: PracticeShape, **ADD}
    )
    def post(self, request: Request) -> Response:
        """Add a practice. Admins only."""
        self.caller.need_admin()
        values = _read(PracticeShape(data=request.data))
        practice = practices.save_practice(self.caller, Practice(org=self.caller.org), **values)
        return Response(PracticeShape(practice).data, status=status.HTTP_201_CREATED)


class PracticeView(OrgView):
    """One practice."""

    @extend_schema(operation_id="get_practice", tags=["practices"], responses={200: PracticeShape, **SHOW})
    def get(self, request: Request, practice_id: str) -> Response:
        """Give a practice."""
        return Response(PracticeShape(self._find(practice_id)).data)

    @extend_schema(
        operation_id="change_practice",
        tags=["practices"],
        request=PracticeShape(partial=True),
        responses={200: PracticeShape, **CHANGE},
    )
    def patch(self, request: Request, practice_id: str) -> Response:
        """Change what is sent and leave the rest. Admins only."""
        practice = self._find(practice_id)
        self.caller.need_admin()
        before = {"name": practice.name, "tin": practice.tin, "npi": practice.npi}
        values = before | _read(PracticeShape(data=request.data, partial=True))
        return Response(PracticeShape(practices.save_practice(self.caller, practice, **values)).data)

    @extend_schema(operation_id="remove_practice", tags=["practices"], responses={204: None, **ACT})
    def delete(self, request: Request, practice_id: str) -> Response:
        """Remove a practice, and the payer accounts that are its own. Admins only."""
        practices.remove_practice(self.caller, self._find(practice_id))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _find(self, practice_id: str) -> Practice:
        """Give a practice of the org. Raises: NotFound."""
        return fetch(self.caller, own(self.caller, Practice), str(practice_id))


class AccountsView(OrgView, GenericAPIView[PayerAccount]):
    """With which credentials payers are asked."""

    queryset = PayerAccount.objects.none()
    serializer_class: type[BaseSerializer[Any]] = AccountShape
    filter_backends = ()

    @extend_schema(
        operation_id="list_payer_accounts", tags=["payer accounts"], responses={200: AccountShape(many=True), **LIST}
    )
    def get(self, request: Request) -> Response:
        """List the org's payer accounts. Who is no admin gets label and state only."""
        page = self.paginate_queryset(own(self.caller, PayerAccount).select_related("practice")) or []
        return self.get_paginated_response([_describe(self.caller, account) for account in page])

    @extend_schema(
        operation_id="add_payer_account",
        tags=["payer accounts"],
        request=AccountShape,
        responses={201: AccountShape, **ADD},
    )
    def post(self, request: Request) -> Response:
        """Add a payer account. Admins only."""
        self.caller.need_admin()
        values = _flat(_read(AccountShape(data=request.data)))
        account = credentials.save_account(self.caller, PayerAccount(org=self.caller.org), values)
        return Response(_describe(self.caller, account), status=status.HTTP_201_CREATED)


class AccountView(OrgView):
    """One payer account."""

    @extend_schema(operation_id="get_payer_account", tags=["payer accounts"], responses={200: AccountShape, **SHOW})
    def get(self, request: Request, account_id: str) -> Response:
        """Give a payer account, never its credentials. Who is no admin gets label and state only."""
        return Response(_describe(self.caller, find_account(self.caller, account_id)))

    @extend_schema(
        operation_id="change_payer_account",
        tags=["payer accounts"],
        request=AccountShape(partial=True),
        responses={200: AccountShape, **CHANGE},
    )
    def patch(self, request: Request, account_id: str) -> Response:
        """Change what is sent. Where an address moves to another server, the secret must come along. Admins only."""
        account = find_account(self.caller, account_id)
        self.caller.need_admin()
        values = _flat(_read(AccountShape(data=request.data, partial=True)))
        return Response(_describe(self.caller, credentials.save_account(self.caller, account, values)))

    @extend_schema(operation_id="remove_payer_account", tags=["payer accounts"], responses={204: None, **ACT})
    def delete(self, request: Request, account_id: str) -> Response:
        """Remove a payer account with its credentials. Admins only."""
        credentials.remove_account(self.caller, find_account(self.caller, account_id))
        return Response(status=status.HTTP_204_NO_CONTENT)


class AccountTestView(OrgView):
    """Whether a payer account works."""

    @extend_schema(
        operation_id="test_payer_account",
        tags=["payer accounts"],
        request=None,
        responses={200: VerdictShape, **ACT},
    )
    def post(self, request: Request, account_id: str) -> Response:
        """Ask the payer now, 15 seconds at most. A payer that refuses is a verdict, not an error of this call."""
        verdict = credentials.run_connection_test(self.caller, find_account(self.caller, account_id))
        return Response(VerdictShape(verdict).data)


def find_account(caller: Caller, account_id: object) -> PayerAccount:
    """Give a payer account of the caller's org. Raises: NotFound."""
    return fetch(caller, own(caller, PayerAccount).select_related("practice"), str(account_id))


def _describe(caller: Caller, account: PayerAccount) -> Any:
    """Show addresses and pace to admins only."""
    shape = AccountShape if caller.is_admin else AccountLabel
    return shape(account).data


def _read(serializer: serializers.Serializer[Any]) -> dict[str, Any]:
    """Give what was sent, checked. Raises: ValidationError."""
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """Give the practice as its id where the serializer nests it."""
    if "practice" in values:
        nested = values["practice"]
        values["practice"] = nested["public_id"] if isinstance(nested, dict) else nested
    return values
