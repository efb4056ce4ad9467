"""What a person runs: the DAG, the command and its recipes, runners, the run directory, the report."""

if __name__ != "tamis.pipelines":  # a second copy of every module, with its own classes and caches
    raise ImportError("this folder is tamis.pipelines: import it by that name")
