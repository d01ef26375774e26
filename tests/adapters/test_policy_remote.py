"""The policy suite over an OPA server, and what is that adapter's own: away, odd, or with other rules, it denies."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientSession, web

from multiagent.core.decision import Ask
from multiagent.core.errors import PolicyBroken, PolicyDenied
from multiagent.policy.answers import read_decision
from multiagent.policy.base import OpaServer, Policy
from multiagent.policy.bundle import read_bundle
from multiagent.policy.factory import default_bundle, open_deciding, open_policy
from multiagent.policy.facts import ENTRIES, NOBODY, Document, decode, document, encode
from multiagent.policy.rego import Program
from multiagent.policy.remote import RemotePolicy, open_remote
from multiagent.testing.servers import opa
from multiagent.testing.servers.opa import OpaProcess
from multiagent.testing.suites.policy import (
    MALFORMED,
    SEED,
    PolicyDecides,
    PolicyDenies,
    PolicyReloads,
    asks_tool,
    person,
    spoilt,
)
from tests.servers import absent

ALLOWED = asks_tool(person())


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("verdicts")


@pytest.fixture
async def policy(opa_server: OpaProcess, verdicts: Path) -> AsyncIterator[Policy]:
    async with open_deciding(OpaServer(opa_server.url, timeout_s=20.0), verdicts=verdicts) as opened:
        yield opened


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(default_bundle(), tmp_path / "bundle"))


@pytest.fixture
def own(bundle: Path) -> Iterator[OpaProcess]:
    """A server that the test may end, and whose rules it may change."""
    if opa.program() is None:
        absent("no opa here: run `make servers`, which needs Go, or put one on PATH")
    server = OpaProcess(str(bundle))
    yield server
    server.close()


class TestRemoteDecides(PolicyDecides):
    pass


class TestRemoteDenies(PolicyDenies):
    pass


class TestRemoteReloads(PolicyReloads):
    @pytest.fixture
    async def policy(self, own: OpaProcess, tmp_path: Path, verdicts: Path) -> AsyncIterator[Policy]:
        async with open_remote(OpaServer(own.url, timeout_s=20.0), default_bundle(), verdicts) as opened:
            yield opened


def questions() -> list[Ask]:
    """Each well-formed question of the policy suite."""
    found = [ask for ask, _ in SEED.values()]
    for ask, field, values in MALFORMED:
        found += [spoilt(ask, field, value) for value in values]
    return found


def given_by_tests() -> list[Document]:
    """The input of each test of the default bundle."""
    bundle = read_bundle(default_bundle())
    entries = [
        f"{module.package.replace('.', '/')}/{test.input_rule}"
        for module in bundle.tests
        for test in module.tests
        if test.input_rule
    ]
    program = Program((*bundle.rules, *bundle.tests), entries)
    return [msgspec.json.decode(program.ask(entry, {})) for entry in entries]


@pytest.mark.requirement("S.safety.policy-server")
async def test_opa_and_the_engine_within_decide_alike_over_the_whole_test_set(policy: Policy, verdicts: Path) -> None:
    within = open_policy(verdicts=verdicts)
    assert policy.bundle_hash == within.bundle_hash
    for ask in questions():
        theirs, ours = await policy.decide(ask), await within.decide(ask)
        assert (theirs.allow, sorted(theirs.reasons), theirs.obligations) == (
            ours.allow,
            sorted(ours.reasons),
            ours.obligations,
        )


async def test_the_inputs_of_the_bundle_s_own_tests_get_the_same_answers(policy: RemotePolicy) -> None:
    """Also those that no typed question can be: a port as text, nobody at all."""
    within = Program(read_bundle(default_bundle()).rules, ENTRIES.values())
    inputs = [*given_by_tests(), *NOBODY, *(document(decode(encode(ask))) for ask, _ in SEED.values())]
    assert len(inputs) >= 60
    for given in inputs:
        for entry in ENTRIES.values():
            theirs, _ = await policy._opa.ask(entry, given)
            ours = within.ask(entry, given)
            assert read_decision(theirs).allow is read_decision(ours).allow
            assert sorted(read_decision(theirs).reasons) == sorted(read_decision(ours).reasons)
            assert read_decision(theirs).obligations == read_decision(ours).obligations


async def test_a_server_that_is_killed_denies_and_comes_back(own: OpaProcess, bundle: Path, verdicts: Path) -> None:
    async with open_remote(OpaServer(own.url, timeout_s=0.5), bundle, verdicts, check_s=0) as policy:
        assert (await policy.decide(ALLOWED)).allow
        await policy.check()
        own.kill()
        with pytest.raises(PolicyDenied, match=own.url):
            await policy.check()
        for _ in range(8):
            decision = await policy.decide(ALLOWED)
            assert not decision.allow
            assert own.url in decision.reasons[0]
        own.start()
        while not (await policy.decide(ALLOWED)).allow:
            assert policy._opa._breaker.state(asyncio.get_running_loop().time()) != "closed"


async def test_a_question_outlasts_a_short_absence(own: OpaProcess, bundle: Path, verdicts: Path) -> None:
    async with open_remote(OpaServer(own.url, timeout_s=30.0), bundle, verdicts, check_s=0) as policy:
        own.kill()
        asked = asyncio.create_task(policy.decide(ALLOWED))
        done, _ = await asyncio.wait((asked,), timeout=0.2)
        assert not done
        await asyncio.to_thread(own.start)
        assert (await asked).allow


async def test_a_server_that_restarted_between_two_questions_is_asked_again_over_a_new_connection(
    own: OpaProcess, bundle: Path, verdicts: Path
) -> None:
    async with open_remote(OpaServer(own.url, timeout_s=20.0), bundle, verdicts, check_s=3600) as policy:
        assert (await policy.decide(ALLOWED)).allow
        own.kill()
        own.start()
        assert (await policy.decide(SEED["python"][0])).allow


async def test_within_its_proof_the_same_question_is_not_asked_again(
    own: OpaProcess, bundle: Path, verdicts: Path
) -> None:
    async with open_remote(OpaServer(own.url, timeout_s=0.5), bundle, verdicts, check_s=3600) as policy:
        assert (await policy.decide(ALLOWED)).allow
        own.kill()
        assert (await policy.decide(ALLOWED)).allow
        assert not (await policy.decide(SEED["python"][0])).allow
        assert not (await policy.decide(ALLOWED)).allow


@pytest.mark.parametrize("how", ["changed", "more", "less"])
async def test_other_rules_on_the_server_deny_until_ours_are_back(
    own: OpaProcess, bundle: Path, verdicts: Path, how: str
) -> None:
    async with open_remote(OpaServer(own.url, timeout_s=20.0), bundle, verdicts, check_s=0) as policy:
        (place,) = [module.id for module in await policy._opa.modules() if module.id.endswith("/tools.rego")]
        text = (bundle / "tools.rego").read_text()
        if how == "changed":
            await policy._opa.put(place, text + "\nallow if true\n")
        elif how == "more":
            await policy._opa.put("extra.rego", "package multiagent.tools\n\nallow if true\n")
        else:
            await policy._opa.delete(place)
        for ask in (ALLOWED, asks_tool(person("guest"))):
            decision = await policy.decide(ask)
            assert not decision.allow
            assert decision.reasons
        await (policy._opa.delete("extra.rego") if how == "more" else policy._opa.put(place, text))
        assert (await policy.decide(ALLOWED)).allow


async def test_a_server_with_other_rules_is_refused_at_once_with_what_to_do(
    own: OpaProcess, tmp_path: Path, verdicts: Path
) -> None:
    other = Path(shutil.copytree(default_bundle(), tmp_path / "other"))
    (other / "tools.rego").write_text((other / "tools.rego").read_text() + "\n# another\n")
    with pytest.raises(PolicyBroken, match=r"lacks tools\.rego.*opa run --server"):
        async with open_remote(OpaServer(own.url, timeout_s=20.0), other, verdicts):
            pass


async def test_no_server_at_all_is_refused_at_once_with_what_to_do(own: OpaProcess, verdicts: Path) -> None:
    own.kill()
    with pytest.raises(PolicyBroken, match=r"cannot be reached.*start OPA there"):
        async with open_deciding(OpaServer(own.url, timeout_s=0.5), verdicts=verdicts):
            pass


async def test_a_server_that_takes_its_rules_from_a_bundle_keeps_them_until_it_has_new_ones(
    bundle: Path, verdicts: Path, opa_server: OpaProcess
) -> None:
    server = OpaProcess("--bundle", str(bundle))
    try:
        async with open_remote(OpaServer(server.url, timeout_s=20.0), bundle, verdicts) as policy:
            before = policy.bundle_hash
            rules = bundle / "tools.rego"
            rules.write_text(rules.read_text().replace('basic := {"calculator"', 'basic := {"abacus", "calculator"'))
            with pytest.raises(PolicyBroken, match="owned by bundle"):
                await policy.reload(bundle)
            assert policy.bundle_hash == before
            assert (await policy.decide(ALLOWED)).allow
            assert not (await policy.decide(asks_tool(person(), "abacus"))).allow
            server.kill()
            server.start()
            assert await policy.reload(bundle) != before
            assert (await policy.decide(asks_tool(person(), "abacus"))).allow
    finally:
        server.close()


async def test_a_server_that_others_use_too_and_that_asks_for_a_token_decides_for_who_has_it(
    bundle: Path, tmp_path: Path, verdicts: Path, opa_server: OpaProcess
) -> None:
    authz = tmp_path / "authz.rego"
    rules = ("default allow := false", 'allow if input.identity == "sesame"', 'allow if input.path == ["health"]')
    authz.write_text("\n\n".join(("package system.authz", *rules, "")))
    server = OpaProcess("--authentication=token", "--authorization=basic", str(authz), str(bundle))
    try:
        async with open_remote(OpaServer(server.url, "sesame", 20.0), bundle, verdicts) as policy:
            assert (await policy.decide(ALLOWED)).allow
        with pytest.raises(PolicyBroken, match="401"):
            async with open_remote(OpaServer(server.url, timeout_s=20.0), bundle, verdicts):
                pass
    finally:
        server.close()


class Between:
    """Stands between the policy and OPA, and answers questions oddly once told how."""

    def __init__(self, behind: str, session: ClientSession) -> None:
        self._behind = behind
        self._session = session
        self.url = ""
        self.odd: Callable[[], Awaitable[web.StreamResponse]] | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if self.odd is not None:
            return await self.odd()
        async with self._session.request(request.method, self._behind + request.path_qs, data=body) as answer:
            return web.Response(status=answer.status, body=await answer.read())


@asynccontextmanager
async def between(server: OpaProcess) -> AsyncIterator[Between]:
    async with ClientSession() as session:
        way = Between(server.url, session)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", way.answer)
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        way.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield way
        await runner.cleanup()


def opened_by(way: Between, verdicts: Path) -> AbstractAsyncContextManager[RemotePolicy]:
    return open_remote(OpaServer(way.url, timeout_s=20.0), default_bundle(), verdicts)


async def _never() -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


def _says(body: bytes, status: int = 200) -> Callable[[], Awaitable[web.StreamResponse]]:
    async def answer() -> web.StreamResponse:
        return web.Response(status=status, body=body, headers={"Location": "/v1/data/x"} if status == 302 else None)

    return answer


TRUE = b'{"allow":true,"reasons":[],"obligations":[]}'
ODD = {
    "never answers": _never,
    "fails": _says(b'{"result":' + TRUE + b"}", 500),
    "sends away": _says(b'{"result":' + TRUE + b"}", 302),
    "says nothing": _says(b""),
    "says undefined": _says(b"{}"),
    "says null": _says(b'{"result":null}'),
    "says true": _says(b'{"result":true}'),
    "says a part": _says(b'{"result":{"allow":true'),
    "says it without reasons": _says(b'{"result":{"allow":true}}'),
    "says it in other words": _says(b'{"result":{"allow":1,"reasons":[],"obligations":[]}}'),
    "says it with more": _says(b'{"result":{"allow":true,"reasons":[],"obligations":[],"more":1}}'),
    "says it twice": _says(b'{"result":{"allow":false,"allow":true,"reasons":[],"obligations":[]}}'),
    "asks to dance": _says(b'{"result":{"allow":true,"reasons":[],"obligations":["dance"]}}'),
    "says it from other rules": _says(b'{"provenance":{"bundles":{"b":{"revision":"2"}}},"result":' + TRUE + b"}"),
    "is no JSON": _says(b"<html>allow</html>"),
}


@pytest.mark.requirement("A7.error")
@pytest.mark.parametrize("how", ODD)
async def test_a_server_that_answers_oddly_denies_and_once_mended_allows(
    opa_server: OpaProcess, verdicts: Path, how: str
) -> None:
    timeout_s = 0.3 if how == "never answers" else 20.0
    async with between(opa_server) as way, opened_by(way, verdicts) as policy:
        policy._opa._server = OpaServer(way.url, timeout_s=timeout_s)
        way.odd = ODD[how]
        decision = await policy.decide(ALLOWED)
        assert not decision.allow
        assert decision.reasons
        way.odd = None
        policy._opa._server = OpaServer(way.url, timeout_s=20.0)
        assert (await policy.decide(ALLOWED)).allow


async def test_after_failures_in_a_row_it_denies_without_asking(opa_server: OpaProcess, verdicts: Path) -> None:
    async with between(opa_server) as way, opened_by(way, verdicts) as policy:
        way.odd = _says(b"", 500)
        answered = [(await policy.decide(ALLOWED)).reasons[0] for _ in range(6)]
        policy._opa._server = OpaServer(way.url, timeout_s=0.2)
        way.odd = _never
        silent = [(await policy.decide(ALLOWED)).reasons[0] for _ in range(6)]
    assert all("answered 500" in reason for reason in answered)
    assert all("in time" in reason for reason in silent[:5])
    assert "times in a row" in silent[5]
