"""UnitedHealthcare's connector against the simulator, and against a server that says odd things on purpose."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any, TypeVar

import pytest
from aiohttp import web

from payersim.settings import NOT_ENTITLED_CLIENT, WRONG_ENVIRONMENT_CLIENT
from payersim.testing import Payer, running
from rowmill.contracts import CLAIM_DETAILS, Answer
from rowmill.errors import PayerError
from rowmill.payers.uhc import UnitedHealthcare
from tests.claims.made import inquiry, profile
from tests.payers.conftest import give_token, stub

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def ask(payer: Payer, number: str, *, times: int = 1, **changes: Any) -> Answer:
    """Ask so often on one connector; gives the last answer, raises the last error."""

    async def work() -> Answer:
        connector = UnitedHealthcare(profile(payer, **changes))
        try:
            for _ in range(times - 1):
                with pytest.raises(PayerError):
                    await connector.lookup(inquiry(number))
            return await connector.lookup(inquiry(number))
        finally:
            await connector.aclose()

    return run(work())


def refused(payer: Payer, number: str, **changes: Any) -> PayerError:
    with pytest.raises(PayerError) as caught:
        ask(payer, number, **changes)
    return caught.value


def stub_error(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]], token: Any = give_token, **limits: Any
) -> PayerError:
    async def work() -> PayerError:
        async with stub(handler, token, **limits) as connector:
            with pytest.raises(PayerError) as caught:
                await connector.lookup(inquiry("C1"))
            return caught.value

    return run(work())


def reply(status: int = 200, text: str = "", **headers: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=text, headers=named, content_type="application/json")

    return handler


# ------------------------------------------------------------------------------------------------ what is found


def test_a_paid_claim_is_read(payer: Payer) -> None:
    (claim,) = ask(payer, "SIMPD1").claims
    assert (claim.status, claim.status_text) == ("PAID", "Finalized")
    assert (claim.category_code, claim.status_code) == ("F1", "65")
    assert (claim.first_name, claim.last_name, claim.date_of_birth) == ("JORDAN", "SAMPLE", date(1980, 1, 15))
    assert claim.subscriber_id == "SIM000123456"
    assert (claim.total_charged, claim.total_allowed) == (Decimal("250.00"), Decimal("180.00"))
    assert (claim.total_paid, claim.patient_responsibility) == (Decimal("150.00"), Decimal("30.00"))
    assert claim.processed_on == date(2026, 2, 17)
    assert claim.check_number == "CKSIMPD1"
    assert claim.parts == ()


@pytest.mark.parametrize(
    ("prefix", "status"), [("SIMDN", "DENIED"), ("SIMPN", "PENDING"), ("SIMPI", "PENDING_INFO"), ("SIMPD", "PAID")]
)
def test_finalized_does_not_mean_paid(payer: Payer, prefix: str, status: str) -> None:
    (claim,) = ask(payer, prefix + "1").claims
    assert claim.status == status


def test_not_found_is_an_answer(payer: Payer) -> None:
    assert ask(payer, "SIMNF1").claims == ()
    assert ask(payer, "SIMGN1").claims == (), "an error that says that nothing was found"


def test_a_split_claim_tells_its_parts(payer: Payer) -> None:
    (claim,) = ask(payer, "SIMSP1").claims
    assert claim.status == "MULTIPLE"
    assert [(part["suffix"], part["category_code"], part["status_code"]) for part in claim.parts] == [
        ("01", "F1", "65"),
        ("02", "F2", "585"),
    ]


def test_a_masked_amount_is_none_and_crashes_nothing(payer: Payer) -> None:
    (claim,) = ask(payer, "SIMMX1").claims
    assert claim.total_charged is None
    assert claim.total_paid == Decimal("150.00")


def test_nulls_everywhere_are_fine(payer: Payer) -> None:
    (claim,) = ask(payer, "SIMNL1").claims
    assert (claim.status, claim.total_charged, claim.total_paid, claim.processed_on) == ("PAID", None, None, None)


def test_both_names_of_the_result_are_read(payer: Payer) -> None:
    payer.control("settings", {"root": "searchClaimResponse"})
    try:
        assert len(ask(payer, "SIMPD1").claims) == 1
    finally:
        payer.control("settings", {"root": "searchClaim"})


@pytest.mark.parametrize(("prefix", "claims"), [("SIMP3", 3), ("SIMPG", 1), ("SIMHM", 1)])
def test_pages_are_followed_to_their_end(payer: Payer, prefix: str, claims: int) -> None:
    assert len(ask(payer, prefix + "1").claims) == claims


def test_pages_that_run_in_a_circle_are_left(payer: Payer) -> None:
    error = refused(payer, "SIMLP1")
    assert (error.code, error.blame) == ("BAD_RESPONSE", "world")
    assert payer.stats()["inquiries"] <= 25


def test_dates_are_sent_and_told_back(payer: Payer) -> None:
    async def work() -> tuple[Answer, Answer]:
        connector = UnitedHealthcare(profile(payer))
        try:
            outside = inquiry("SIMDR1", first_service_on=date(2026, 1, 1), last_service_on=date(2026, 2, 1))
            inside = inquiry("SIMPD1", first_service_on=date(2026, 1, 1), last_service_on=date(2026, 2, 1))
            return await connector.lookup(outside), await connector.lookup(inside)
        finally:
            await connector.aclose()

    outside, inside = run(work())
    assert outside.claims == ()
    assert len(inside.claims) == 1
    assert (outside.searched_from, outside.searched_to) == (date(2026, 1, 1), date(2026, 2, 1))


# ------------------------------------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize(
    ("prefix", "code", "blame"),
    [
        ("SIM29", "RATE_LIMITED", "world"),
        ("SIM50", "PAYER_UNAVAILABLE", "world"),
        ("SIM51", "PAYER_UNAVAILABLE", "world"),
        ("SIM5H", "PAYER_UNAVAILABLE", "world"),
        ("SIM54", "PAYER_TIMEOUT", "world"),
        ("SIMGE", "PAYER_UNAVAILABLE", "world"),
        ("SIMBJ", "BAD_RESPONSE", "world"),
        ("SIMEB", "BAD_RESPONSE", "world"),
        ("SIMMD", "BAD_RESPONSE", "world"),
        ("SIMRS", "NETWORK", "world"),
        ("SIMCU", "NETWORK", "world"),
        ("SIM40", "INVALID_REQUEST", "row"),
        ("SIM43", "NOT_ENTITLED", "setup"),
    ],
)
def test_each_trouble_has_its_code_and_its_blame(payer: Payer, prefix: str, code: str, blame: str) -> None:
    error = refused(payer, prefix + "1")
    assert (error.code, error.blame) == (code, blame)


@pytest.mark.parametrize(("prefix", "times"), [("SIM50", 3), ("SIM51", 2), ("SIM5H", 3), ("SIM29", 2), ("SIMCU", 2)])
def test_the_same_connector_gets_the_answer_afterwards(payer: Payer, prefix: str, times: int) -> None:
    assert len(ask(payer, prefix + "1", times=times).claims) == 1


def test_silence_ends_at_the_read_timeout() -> None:
    with running("calm", hang_seconds=250) as payer:
        limits = replace(profile(payer).limits, read_timeout_seconds=1.0)
        assert refused(payer, "SIMTO1", limits=limits).code == "PAYER_TIMEOUT"


def test_a_slow_drip_ends_at_the_deadline() -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b" ")
            await asyncio.sleep(0.02)
        return response

    error = stub_error(drip, connect_timeout_seconds=1.0, read_timeout_seconds=1.0)
    assert (error.code, error.blame) == ("PAYER_TIMEOUT", "world")


def test_nobody_at_the_address_is_the_network() -> None:
    async def work() -> PayerError:
        async with stub(reply()) as connector:
            connector._profile = replace(connector._profile, base_url="http://127.0.0.1:1")
            with pytest.raises(PayerError) as caught:
                await connector.lookup(inquiry("C1"))
            return caught.value

    assert run(work()).code == "NETWORK"


@pytest.mark.parametrize(
    ("status", "text", "code", "blame"),
    [
        (200, "[]", "BAD_RESPONSE", "world"),
        (200, '{"data": {"searchClaim": {"claims": "many"}}}', "BAD_RESPONSE", "world"),
        (200, '{"data": {"searchClaim": {"claims": [7]}}}', "BAD_RESPONSE", "world"),
        (200, '{"errors": ["odd"]}', "PAYER_UNAVAILABLE", "world"),
        (200, '{"errors": [{"extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}]}', "INVALID_REQUEST", "row"),
        (200, '{"errors": [{"code": "LCLM_PS_112"}]}', "DATE_OUT_OF_RANGE", "row"),
        (200, '{"errors": [{"code": "LCLM_PS_105"}]}', "NOT_ENTITLED", "setup"),
        (302, "", "CONFIG", "setup"),
        (404, "", "CONFIG", "setup"),
        (408, "", "PAYER_TIMEOUT", "world"),
        (422, "", "INVALID_REQUEST", "row"),
        (599, "", "PAYER_UNAVAILABLE", "world"),
    ],
)
def test_odd_answers(status: int, text: str, code: str, blame: str) -> None:
    error = stub_error(reply(status, text))
    assert (error.code, error.blame) == (code, blame)


def test_errors_come_before_data() -> None:
    both = '{"data": {"searchClaim": {"claims": []}}, "errors": [{"code": "INTERNAL_SERVER_ERROR"}]}'
    assert stub_error(reply(200, both)).code == "PAYER_UNAVAILABLE"


@pytest.mark.parametrize(
    ("category", "status_code", "code"),
    [("E1", "0", "PAYER_UNAVAILABLE"), ("E2", "0", "PAYER_TIMEOUT"), ("E0", "0", "INVALID_REQUEST")],
)
def test_a_status_that_is_an_error(category: str, status_code: str, code: str) -> None:
    item = f'{{"claim507Code": "{category}", "claim508Code": "{status_code}"}}'
    body = f'{{"data": {{"searchClaim": {{"claims": [{{"claimStatusCrosswalkData": [{item}]}}]}}}}}}'
    assert stub_error(reply(200, body)).code == code


def test_retry_after_in_seconds_as_a_date_and_absent() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=280), usegmt=True)
    assert stub_error(reply(429, Retry_After="7")).retry_after_seconds == 7
    told = stub_error(reply(429, Retry_After=later)).retry_after_seconds
    assert told is not None
    assert 220 < told <= 280
    assert stub_error(reply(429)).retry_after_seconds is None
    assert stub_error(reply(429, Retry_After="soon")).retry_after_seconds is None


def test_too_large_an_answer_is_not_read_to_its_end() -> None:
    assert stub_error(reply(200, " " * 9_000_000)).code == "BAD_RESPONSE"


def test_another_transaction_is_unsupported(payer: Payer) -> None:
    async def work() -> None:
        connector = UnitedHealthcare(profile(payer))
        await connector.lookup(inquiry("SIMPD1", transaction=CLAIM_DETAILS))

    with pytest.raises(PayerError) as caught:
        run(work())
    assert (caught.value.code, caught.value.blame) == ("UNSUPPORTED", "row")


def test_no_error_holds_anything_of_row_answer_or_secret() -> None:
    canary = "CANARY-7731"

    async def leaky(request: web.Request) -> web.Response:
        return web.Response(status=200, text=f'{{"errors": "{canary}"', content_type="application/json")

    async def broken(request: web.Request) -> web.Response:
        return web.Response(status=200, text=canary, headers={"Content-Encoding": "gzip"})

    async def work(handler: Any) -> str:
        async with stub(handler) as connector:
            connector._profile = replace(connector._profile, client_secret=canary)
            with pytest.raises(PayerError) as caught:
                await connector.lookup(inquiry(canary, last_name=canary, subscriber_id=canary))
            assert caught.value.__cause__ is None
            assert caught.value.__context__ is None
            return "".join(traceback.format_exception(caught.value)) + repr(caught.value.details)

    for handler in (leaky, broken):
        assert canary not in run(work(handler))


# ------------------------------------------------------------------------------------------------ tokens


def test_one_token_serves_all_who_wait(payer: Payer) -> None:
    async def work() -> None:
        connector = UnitedHealthcare(profile(payer))
        try:
            await asyncio.gather(*(connector.lookup(inquiry(f"SIMPD{n}")) for n in range(50)))
            payer.revoke_tokens()
            await asyncio.gather(*(connector.lookup(inquiry(f"SIMDN{n}")) for n in range(50)))
        finally:
            await connector.aclose()

    run(work())
    stats = payer.stats()
    assert stats["tokens_issued"] == 2, "one at first, one after the revocation"


def test_a_refused_token_is_renewed_once_and_the_call_made_again(payer: Payer) -> None:
    assert len(ask(payer, "SIM411").claims) == 1
    assert payer.stats()["tokens_issued"] == 2


def test_a_token_of_the_wrong_environment_is_a_matter_of_setup(payer: Payer) -> None:
    error = refused(payer, "SIMPD1", client_id=WRONG_ENVIRONMENT_CLIENT)
    assert (error.code, error.blame) == ("AUTH_FAILED", "setup")
    assert payer.stats()["inquiries"] == 2


def test_wrong_credentials_are_a_matter_of_setup(payer: Payer) -> None:
    error = refused(payer, "SIMPD1", client_secret="wrong")
    assert (error.code, error.blame) == ("AUTH_FAILED", "setup")
    assert payer.stats()["inquiries"] == 0


def test_an_account_without_the_subscription(payer: Payer) -> None:
    error = refused(payer, "SIMPD1", client_id=NOT_ENTITLED_CLIENT)
    assert (error.code, error.blame) == ("NOT_ENTITLED", "setup")


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (reply(200, "no json"), "BAD_RESPONSE"),
        (reply(200, '{"access_token": "a\\nb"}'), "BAD_RESPONSE"),
        (reply(503), "PAYER_UNAVAILABLE"),
        (reply(429, Retry_After="3"), "RATE_LIMITED"),
        (reply(400), "AUTH_FAILED"),
        (reply(401), "AUTH_FAILED"),
    ],
)
def test_a_token_service_in_trouble(token: Any, code: str) -> None:
    assert stub_error(reply(), token).code == code


# ------------------------------------------------------------------------------------------------ what is sent


def test_what_is_sent_is_what_the_interface_wants_and_no_more() -> None:
    seen: dict[str, Any] = {}

    async def take(request: web.Request) -> web.Response:
        seen["headers"], seen["body"] = dict(request.headers), await request.json()
        return web.json_response({"data": {"searchClaim": {"claims": []}}})

    async def token(request: web.Request) -> web.Response:
        seen["form"], seen["type"] = dict(await request.post()), request.content_type
        return await give_token(request)

    async def work() -> None:
        async with stub(take, token) as connector:
            connector._profile = replace(connector._profile, environment="sandbox")
            await connector.lookup(inquiry("0012", tin="007654321", payer_id="03432"))

    run(work())
    assert seen["type"] == "application/x-www-form-urlencoded"
    assert seen["form"] == {"grant_type": "client_credentials", "client_id": "an-id", "client_secret": "a-secret"}
    assert seen["headers"]["providerTaxId"] == "007654321"
    assert seen["headers"]["environment"] == "sandbox"
    assert seen["headers"]["Authorization"] == "Bearer made-up-token"
    assert seen["body"]["variables"] == {"searchClaimInput": {"payerId": "03432", "claimNumber": "0012"}}
    for field in ("diagnosisCodes", "payeeAddress", "lines", "documents"):
        assert field not in seen["body"]["query"]


def test_every_attempt_has_a_correlation_id_of_its_own() -> None:
    ids: list[str] = []

    async def take(request: web.Request) -> web.Response:
        ids.append(request.headers["x-optum-consumer-correlation-id"])
        return web.json_response({"data": {"searchClaim": {"claims": []}}})

    async def work() -> list[str]:
        async with stub(take) as connector:
            return [(await connector.lookup(inquiry("C1"))).trace_id for _ in range(3)]

    assert run(work()) == ids
    assert len(set(ids)) == 3


def test_the_environments_proxy_is_not_used(payer: Payer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    assert len(ask(payer, "SIMPD1").claims) == 1


def test_test_connection(payer: Payer) -> None:
    async def work(**changes: Any) -> None:
        connector = UnitedHealthcare(profile(payer, **changes))
        try:
            await connector.test_connection()
        finally:
            await connector.aclose()

    run(work())
    with pytest.raises(PayerError):
        run(work(client_secret="wrong"))
