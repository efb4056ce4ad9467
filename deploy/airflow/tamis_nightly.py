"""Runs Tamis every night under Airflow 3: one task runs the recipe, one verifies the release.

    cp deploy/airflow/tamis_nightly.py "$(airflow config get-value core dags_folder)"

Airflow's worker needs `tamis` on its PATH. A killed run is started again and finishes. A problem
with the data or the recipe needs a person, so it is not tried again.
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
        "options": Param([], type="array", items={"type": "string"}, description="More options, as --runner=flink."),
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
    """The JSON output of a `tamis` command."""
    process = subprocess.run(["tamis", *arguments, "--json"], stdout=subprocess.PIPE, text=True)
    if process.returncode in (1, 2):
        raise AirflowFailException(process.stdout)
    process.check_returncode()
    return dict(json.loads(process.stdout))


tamis_nightly()
