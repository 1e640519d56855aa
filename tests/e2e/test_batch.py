"""What clients see of batching: 64 at once get exactly their own rows, over REST and gRPC, and the statistics tell runs from inferences."""
import concurrent.futures

import numpy as np
import pytest
import tritonclient.http as th
from test_shares import Flood

pytestmark = pytest.mark.apart   # tritonclient.grpc is used in the test itself


def rows_of(client, i):
    """Values that no other client and no other request has; one to three rows."""
    x = np.arange(4 * (1 + (client + i) % 3), dtype=np.float32).reshape(-1, 4)
    return x + client * 10000 + i * 100


def expected(x):
    import models
    f = np.float32
    hidden = np.maximum(x @ np.array(models.W1, f) + np.array(models.B1, f), 0)
    return hidden @ np.array(models.W2, f) + np.array(models.B2, f)


def ask(address, client, count):
    import tritonclient.grpc as tg
    module = (th, tg)[client % 2]
    with module.InferenceServerClient(address) as c:
        for i in range(count):
            x = rows_of(client, i)
            tensor = module.InferInput("x", list(x.shape), "FP32")
            tensor.set_data_from_numpy(x)
            y = c.infer("tiny", [tensor]).as_numpy("y")
            np.testing.assert_allclose(y, expected(x), rtol=1e-5, atol=1e-3)
    return count


@pytest.mark.parametrize("mode", ["adaptive", "fixed"])
def test_everybody_gets_their_own_rows(serve, zoo, mode):
    server = serve(f"tiny={zoo['tiny']}", f"slow={zoo['slow']}", "--batch-mode", mode, "--max-delay-us", "2000" if mode == "fixed" else "0", "--inline-us", "0",
                   "--threads", "1")
    address = f"127.0.0.1:{server.port}"
    with concurrent.futures.ThreadPoolExecutor(64) as pool, Flood(server, "slow", 2):   # while its run lasts, others come together
        done = [pool.submit(ask, address, client, 12) for client in range(64)]
        assert sum(d.result() for d in done) == 64 * 12
    with th.InferenceServerClient(address) as c:
        stats = c.get_inference_statistics("tiny")["model_stats"][0]
    rows = sum(len(rows_of(client, i)) for client in range(64) for i in range(12))
    assert stats["inference_count"] == rows and stats["inference_stats"]["success"]["count"] == 64 * 12
    assert stats["execution_count"] == sum(b["compute_infer"]["count"] for b in stats["batch_stats"]) < 64 * 12
    assert any(b["batch_size"] > 3 for b in stats["batch_stats"])


def test_without_batches_each_request_is_a_run(serve, zoo):
    server = serve(f"tiny={zoo['tiny']}", "--batch-mode", "off", "--inline-us", "0")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        done = [pool.submit(ask, f"127.0.0.1:{server.port}", client, 5) for client in range(16)]
        assert sum(d.result() for d in done) == 80
    with th.InferenceServerClient(f"127.0.0.1:{server.port}") as c:
        assert c.get_inference_statistics("tiny")["model_stats"][0]["execution_count"] == 80
