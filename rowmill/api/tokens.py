"""Signs programs in: an e-mail address and a password for two tokens, and a refresh token for the next two."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

from django.contrib.auth import authenticate
from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken, UntypedToken
from rest_framework_simplejwt.utils import get_md5_hash_password

from rowmill.api.attempts import WrongAttempt, limited, sign_in_limits
from rowmill.api.base import OneFormat, SmallJSON
from rowmill.api.problems import problems
from rowmill.errors import NotFound
from rowmill.models import Membership, User
from rowmill.orgs import find_caller

ORG_CLAIM = "org_id"


class Credentials(serializers.Serializer[Any]):
    """Who signs in."""

    email = serializers.CharField(max_length=254)
    password = serializers.CharField(max_length=1024, trim_whitespace=False, write_only=True)


class RefreshWanted(serializers.Serializer[Any]):
    """A refresh token, good for one use."""

    refresh = serializers.CharField(max_length=4096)


class TokenPair(serializers.Serializer[Any]):
    """Two tokens: `access` goes into `Authorization: Bearer …`, `refresh` gets the next pair."""

    access = serializers.CharField()
    refresh = serializers.CharField()


class OpenDoor(APIView):
    """An address that needs no sign-in, and answers a wrong one with 401."""

    authentication_classes: tuple[()] = ()
    content_negotiation_class = OneFormat
    parser_classes = (SmallJSON,)
    permission_classes = (AllowAny,)

    def get_authenticate_header(self, request: Request) -> str:
        """Give what WWW-Authenticate says."""
        return 'Bearer realm="api"'


class TokenView(OpenDoor):
    """Sign in."""

    @extend_schema(
        operation_id="sign_in",
        tags=["auth"],
        auth=[],
        request=Credentials,
        responses={200: TokenPair, **problems(400, 401, 413, 415, 429)},
    )
    def post(self, request: Request) -> Response:
        """Give an access and a refresh token for an e-mail address and a password."""
        wanted = Credentials(data=request.data)
        wanted.is_valid(raise_exception=True)
        email, password = wanted.validated_data["email"], wanted.validated_data["password"]
        try:
            with limited(sign_in_limits(email, request.META.get("REMOTE_ADDR", ""))):
                user = authenticate(request, email=email, password=password)
                if not isinstance(user, User) or not user.is_active:
                    raise WrongAttempt
        except WrongAttempt:
            raise AuthenticationFailed("The e-mail address or the password is wrong.", "wrong_password") from None
        return Response(_pair(_begin(user)))


class RefreshView(OpenDoor):
    """Stay signed in."""

    @extend_schema(
        operation_id="refresh_tokens",
        tags=["auth"],
        auth=[],
        request=RefreshWanted,
        responses={200: TokenPair, **problems(400, 401, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Give the next two tokens for a refresh token, which is used up by this."""
        wanted = RefreshWanted(data=request.data)
        wanted.is_valid(raise_exception=True)
        return Response(_pair(_rotate(wanted.validated_data["refresh"])), status=status.HTTP_200_OK)


def _begin(user: User) -> RefreshToken:
    """Make a refresh token that stays in the org of the sign-in, so that a removal never slips a program into another."""
    token = RefreshToken.for_user(user)
    with suppress(NotFound):  # of no org: every address will say so
        token[ORG_CLAIM] = str(find_caller(user).org.public_id)
    return token


def _pair(refresh: RefreshToken) -> dict[str, str]:
    return {"access": str(refresh.access_token), "refresh": str(refresh)}


def _rotate(raw: str) -> RefreshToken:
    """Use a refresh token up and give the next one. A used one that comes again ends all of the person's tokens.

    Raises: AuthenticationFailed where it is wrong, expired or used up, or where the person was removed, disabled,
    or has changed the password since.
    """
    try:
        old = RefreshToken(raw)  # type: ignore[arg-type]
    except TokenError:
        _end_stolen(raw)
        raise _REFUSED from None
    user = User.objects.filter(pk__in=[_user_id(old)], is_active=True).first()
    if user is None or not Membership.objects.filter(user=user).exists():
        raise _REFUSED
    if old.get(api_settings.REVOKE_TOKEN_CLAIM) != get_md5_hash_password(user.password):
        raise _REFUSED
    with transaction.atomic():
        _, used_up_now = cast("tuple[BlacklistedToken, bool]", old.blacklist())
        if used_up_now:
            fresh = RefreshToken.for_user(user)
            fresh[ORG_CLAIM] = old.get(ORG_CLAIM)
            return fresh
    _end_all(user.pk)
    raise _REFUSED


_REFUSED = AuthenticationFailed("This refresh token is not valid any more. Sign in again.", "token_not_valid")


def _user_id(token: Any) -> int | None:
    """Give the person a token was made for, None where it names none."""
    value = str(token.get(api_settings.USER_ID_CLAIM, ""))
    return int(value) if value.isascii() and value.isdigit() else None


def _end_stolen(raw: str) -> None:
    """Where a sound token was used up before, somebody else has a copy of it: end every token of its person."""
    try:
        token = UntypedToken(raw)  # type: ignore[arg-type]
    except TokenError:
        return
    used = BlacklistedToken.objects.filter(token__jti=token.get(api_settings.JTI_CLAIM, "")).exists()
    if used and (user_id := _user_id(token)) is not None:
        _end_all(user_id)


def _end_all(user_id: int) -> None:
    """End every refresh token of a person."""
    for token in OutstandingToken.objects.filter(user_id=user_id, blacklistedtoken=None):
        BlacklistedToken.objects.get_or_create(token=token)
