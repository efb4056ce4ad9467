"""Imports the DAG and runs its tasks with the `tamis` on PATH; test_airflow.py runs this under Airflow's Python.

python dag_check.py DAG_FILE   →   one JSON object
"""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import Any

from airflow.sdk.definitions.dag import DAG
from airflow.sdk.exceptions import AirflowFailException


def main() -> None:
    spec = importlib.util.spec_from_file_location("tamis_nightly", sys.argv[1])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dag: DAG = module.tamis_nightly()
    dag.check_cycle()
    params = {name: dag.params[name] for name in dag.params}
    description = {
        "id": dag.dag_id,
        "schedule": str(dag.schedule),
        "downstream": {name: sorted(task.downstream_task_ids) for name, task in dag.task_dict.items()},
        "retries": {name: task.retries for name, task in dag.task_dict.items()},
        "at once": dag.max_active_runs,
        "done": {name: outcome(task, params) for name, task in dag.task_dict.items()},
    }
    print(json.dumps(description))


def outcome(task: Any, params: dict[str, Any]) -> object:
    try:
        return task.python_callable(params)
    except AirflowFailException as error:
        return f"failed: {error}"
    except Exception as error:
        return f"again: {type(error).__name__}"


if __name__ == "__main__":
    main()
