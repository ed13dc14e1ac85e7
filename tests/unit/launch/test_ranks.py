from __future__ import annotations

import socket

from codec_s2st.launch.ranks import free_port, job_port, rank_variables


def test_rank_variables_are_those_of_torch() -> None:
    variables = rank_variables(5, 8, local_rank=1, local_world_size=4, address="node-1", port=20_001, num_requeues=2)

    assert variables == {
        "RANK": "5",
        "WORLD_SIZE": "8",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "4",
        "MASTER_ADDR": "node-1",
        "MASTER_PORT": "20001",
        "CODEC_S2ST_REQUEUES": "2",
        "FAIRSEQ2_EXTENSION_TRACE": "1",
        "FAIRSEQ2_NO_PROGRESS": "1",
    }


def test_job_port_is_the_same_on_all_ranks_and_another_after_a_requeue() -> None:
    ports = {job_port("17", num) for num in range(5)}

    assert len(ports) == 5 and all(20_000 <= port < 32_000 for port in ports)

    assert job_port("17", 3) == job_port("17", 3)


def test_free_port_can_be_taken() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
