"""The gate: what a call costs, what is paid once, what is remembered."""

from pathlib import Path

from multiagent.core.budget import Amount
from multiagent.core.usage import Usage
from multiagent.llm.gate_endpoints import Serving
from multiagent.testing.vendor_stub import VendorStub, stub_model
from tests.adapters.gate_bench import TENANT, asks, calls, gate_over, limited


async def test_a_call_is_settled_to_what_the_vendor_reports(tmp_path: Path) -> None:
    async with gate_over(tmp_path, [Serving(stub_model(), VendorStub())]) as bench:
        answer = await bench.gate.complete(asks(), calls(limited(tokens=5000)))
        assert answer.text == "It is so. "
        assert answer.usage == Usage(10, 5)
        assert answer.cost_pico == 10 * 1_000_000 + 5 * 4_000_000
        assert await bench.used() == Amount(15, answer.cost_pico)
        assert await bench.held() == Amount()
        bill = await bench.storage.reader.bill(TENANT, "t1")
        assert (bill.usage, bill.cost_pico, bill.lost_tokens) == (Usage(10, 5), answer.cost_pico, 0)
