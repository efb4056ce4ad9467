"""Tamis every night under Airflow 3: one task runs, one verifies.

    cp deploy/airflow/tamis_nightly.py "$(airflow config get-value core dags_folder)"

The worker that takes the tasks needs `tamis` on its PATH. A run that was killed is started again and finishes; a problem with
the data or the recipe needs a person, and is not tried again.
"""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowFailException


@dag(
    dag_id="tamis_nightly",
    schedule="30 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # a second run in the same directory is refused
    params={
        "recipe": Param("/etc/tamis/recipe.yaml", type="string", description="The recipe."),
        "output": Param("/srv/tamis/run", type="string", description="The run directory, or its URI in an object store."),
        "options": Param([], type="array", items={"type": "string"}, description="More of `tamis run`, as --runner=flink."),
    },
    tags=["corpus"],
)
def tamis_nightly() -> None:
    @task(retries=3, retry_delay=timedelta(minutes=1))
    def run(params: dict[str, Any]) -> dict[str, Any]:
        return tamis("run", params["recipe"], "--output", params["output"], "--allow-empty", *params["options"])

    @task
    def verify(params: dict[str, Any]) -> dict[str, Any]:
        return tamis("verify", params["output"])

    run() >> verify()  # type: ignore[call-arg]


def tamis(*arguments: str) -> dict[str, Any]:
    """What a `tamis` command answers."""
    done = subprocess.run(["tamis", *arguments, "--json"], stdout=subprocess.PIPE, text=True)
    if done.returncode in (1, 2):
        raise AirflowFailException(done.stdout)
    done.check_returncode()
    return dict(json.loads(done.stdout))


tamis_nightly()
