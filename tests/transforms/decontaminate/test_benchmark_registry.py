"""Every benchmark of the registry reads records of its published forms; names and groups are found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tamis.transforms.decontaminate.benchmark_registry import complete, entries, groups
from tamis.transforms.decontaminate.benchmarks import Benchmark, Item, items
from tamis.transforms.decontaminate.ngrams import Decontaminate

LABELLED = {"text": ["sand", "ice", "tar"], "label": ["A", "B", "C"]}
STEM = {"stem": "What melts?", "choices": [{"label": "A", "text": "sand"}, {"label": "B", "text": "ice"}]}

RECORDS = [
    (
        "gsm8k",
        {"question": "Ann has 2 hens and buys 3. How many?", "answer": "2 + 3 = <<2+3=5>>5\n#### 5"},
        Item("gsm8k", "0", ("Ann has 2 hens and buys 3. How many?",), (), (), ("2 + 3 = <<2+3=5>>5\n#### 5",)),
    ),
    (
        "math",
        {"problem": "Find $1+1$.", "level": "Level 1", "type": "Algebra", "solution": r"It is $\boxed{2}$."},
        Item("math", "0", ("Find $1+1$.",), (), (), (r"It is $\boxed{2}$.",)),
    ),
    (
        "aime",
        {"ID": "2024-I-0", "Problem": "Find $m+n$.", "Solution": "We see that it is 73.", "Answer": 73},
        Item("aime", "2024-I-0", ("Find $m+n$.",), (), (), ("We see that it is 73.", "73")),
    ),
    ("aime", {"problem": "Find $m+n$.", "answer": "73", "id": 0}, Item("aime", "0", ("Find $m+n$.",), (), (), ("73",))),
    (
        "mmlu",
        {"question": "What melts?", "subject": "physics", "choices": ["sand", "ice", "tar", "ash"], "answer": 1},
        Item("mmlu", "0", ("What melts?",), (), ("sand", "ice", "tar", "ash"), ("ice",)),
    ),
    (
        "mmlu_pro",
        {
            "question_id": 70,
            "question": "What melts?",
            "options": ["sand", "ice", "tar"],
            "answer": "B",
            "answer_index": 1,
            "cot_content": "",
            "category": "physics",
            "src": "made",
        },
        Item("mmlu_pro", "70", ("What melts?",), (), ("sand", "ice", "tar"), ("ice",)),
    ),
    (
        "gpqa",
        {
            "Record ID": "rec1",
            "Question": "What melts?",
            "Correct Answer": "ice",
            "Incorrect Answer 1": "sand",
            "Incorrect Answer 2": "tar",
            "Incorrect Answer 3": "ash",
            "Explanation": "It does.",
            "Subdomain": "Physics",
        },
        Item("gpqa", "rec1", ("What melts?",), (), ("ice", "sand", "tar", "ash"), ("ice",)),
    ),
    (
        "agieval",
        {"passage": "It was cold.", "question": "What melts?", "options": ["(A)sand", "(B)ice"], "label": "B", "answer": None},
        Item("agieval", "0", ("What melts?",), ("It was cold.",), ("sand", "ice"), ("ice",)),
    ),
    (
        "agieval",
        {"passage": None, "question": "Find $x$.", "options": None, "label": None, "answer": r"\frac12", "other": {}},
        Item("agieval", "0", ("Find $x$.",), (), (), (r"\frac12",)),
    ),
    (
        "arc_easy",
        {"id": "MCAS_1", "question": "What melts?", "choices": LABELLED, "answerKey": "B"},
        Item("arc_easy", "MCAS_1", ("What melts?",), (), ("sand", "ice", "tar"), ("ice",)),
    ),
    (
        "arc_challenge",
        {"id": "NYS_1", "question": "What melts?", "choices": {"text": ["sand", "ice"], "label": ["1", "2"]}, "answerKey": "2"},
        Item("arc_challenge", "NYS_1", ("What melts?",), (), ("sand", "ice"), ("ice",)),
    ),
    (
        "arc_challenge",
        {"id": "NYS_1", "question": STEM, "answerKey": "B"},
        Item("arc_challenge", "NYS_1", ("What melts?",), (), ("sand", "ice"), ("ice",)),
    ),
    (
        "openbookqa",
        {"id": "7-980", "question_stem": "What melts is", "choices": LABELLED, "answerKey": "B"},
        Item("openbookqa", "7-980", ("What melts is",), (), ("sand", "ice", "tar"), ("ice",)),
    ),
    (
        "openbookqa",
        {"id": "7-980", "question": STEM, "answerKey": "A"},
        Item("openbookqa", "7-980", ("What melts?",), (), ("sand", "ice"), ("sand",)),
    ),
    (
        "truthfulqa",
        {
            "type": "Adversarial",
            "category": "Myths",
            "question": "What melts?",
            "best_answer": "Ice melts.",
            "correct_answers": ["Ice melts.", "Ice"],
            "incorrect_answers": ["Sand melts."],
            "source": "https://a.example",
        },
        Item("truthfulqa", "0", ("What melts?",), (), ("Ice melts.", "Ice", "Sand melts."), ("Ice melts.",)),
    ),
    (
        "humaneval",
        {
            "task_id": "HumanEval/0",
            "prompt": 'def f(x):\n    """Adds 1."""\n',
            "entry_point": "f",
            "canonical_solution": "    return x + 1\n",
            "test": "def check(f): assert f(1) == 2",
        },
        Item("humaneval", "HumanEval/0", ('def f(x):\n    """Adds 1."""\n',), (), (), ("    return x + 1\n",)),
    ),
    (
        "mbpp",
        {
            "text": "Write a function to add one.",
            "code": "def f(x): return x + 1",
            "task_id": 11,
            "test_setup_code": "",
            "test_list": ["assert f(1) == 2"],
            "challenge_test_list": [],
        },
        Item("mbpp", "11", ("Write a function to add one.",), (), (), ("def f(x): return x + 1",)),
    ),
    (
        "mbpp",
        {"source_file": "a.py", "task_id": 11, "prompt": "Write a function to add one.", "code": "def f(x): return x + 1"},
        Item("mbpp", "11", ("Write a function to add one.",), (), (), ("def f(x): return x + 1",)),
    ),
    (
        "livecodebench",
        {
            "question_title": "Add",
            "question_content": "Read two integers; print the sum.",
            "platform": "atcoder",
            "question_id": "abc1_a",
            "contest_id": "abc1",
            "contest_date": "2024-01-01T00:00:00",
            "starter_code": "",
            "difficulty": "easy",
            "public_test_cases": "[]",
            "private_test_cases": "",
            "metadata": "{}",
        },
        Item("livecodebench", "abc1_a", ("Read two integers; print the sum.",)),
    ),
    (
        "hellaswag",
        {
            "ind": 24,
            "activity_label": "Ice",
            "ctx_a": "It is warm.",
            "ctx_b": "the ice",
            "ctx": "It is warm. the ice",
            "endings": ["sings", "melts", "runs", "eats"],
            "source_id": "a",
            "split": "val",
            "label": "1",
        },
        Item("hellaswag", "24", ("It is warm. the ice",), (), ("sings", "melts", "runs", "eats"), ("melts",)),
    ),
    (
        "winogrande",
        {"sentence": "Ann sold Eve a hen as _ had two.", "option1": "Ann", "option2": "Eve", "answer": "1"},
        Item("winogrande", "0", ("Ann sold Eve a hen as _ had two.",), (), ("Ann", "Eve"), ("Ann",)),
    ),
    (
        "piqa",
        {"goal": "Melt ice.", "sol1": "Cool it.", "sol2": "Warm it.", "label": 1},
        Item("piqa", "0", ("Melt ice.",), (), ("Cool it.", "Warm it."), ("Warm it.",)),
    ),
    (
        "socialiqa",
        {
            "context": "Ann fed a hen.",
            "question": "How is the hen?",
            "answerA": "full",
            "answerB": "sad",
            "answerC": "red",
            "label": "1",
        },
        Item("socialiqa", "0", ("How is the hen?",), ("Ann fed a hen.",), ("full", "sad", "red"), ("full",)),
    ),
    (
        "commonsenseqa",
        {"id": "1afa", "question": "What melts?", "question_concept": "melt", "choices": LABELLED, "answerKey": "B"},
        Item("commonsenseqa", "1afa", ("What melts?",), (), ("sand", "ice", "tar"), ("ice",)),
    ),
    (
        "boolq",
        {"question": "does ice melt", "passage": "Ice melts at 0 °C.", "answer": True},
        Item("boolq", "0", ("does ice melt",), ("Ice melts at 0 °C.",), (), ("True",)),
    ),
    (
        "lambada",
        {"text": "It was so warm that the ice began to melt"},
        Item("lambada", "0", ("It was so warm that the ice began to",), (), (), ("melt",)),
    ),
    ("bbh", {"input": "not True is", "target": "False"}, Item("bbh", "0", ("not True is",), (), (), ("False",))),
    (
        "ifeval",
        {
            "key": 1000,
            "prompt": "Write 3 lines without commas.",
            "instruction_id_list": ["punctuation:no_comma"],
            "kwargs": [{}],
        },
        Item("ifeval", "1000", ("Write 3 lines without commas.",)),
    ),
]


def of_registry(name: str, path: Path) -> Benchmark:
    (entry,) = complete([{"name": name, "path": str(path)}])
    return Benchmark.model_validate(entry)


@pytest.mark.parametrize(("name", "record", "item"), RECORDS, ids=[name for name, _, _ in RECORDS])
def test_a_record_of_the_published_form(name: str, record: dict[str, object], item: Item, tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text(json.dumps(record) + "\n")
    assert items(of_registry(name, tmp_path / "b.jsonl")) == [item]


def test_every_benchmark_has_a_record() -> None:
    assert {name for name, _, _ in RECORDS} == set(entries())


def test_the_csv_of_mmlu_has_no_header(tmp_path: Path) -> None:
    (tmp_path / "physics_test.csv").write_text('"What melts, then?",sand,ice,tar,ash,B\nWhat burns?,a,b,c,tar,D\n')
    first, second = items(of_registry("mmlu", tmp_path / "physics_test.csv"))
    assert first == Item("mmlu", "0", ("What melts, then?",), (), ("sand", "ice", "tar", "ash"), ("ice",))
    assert second.answer == ("tar",)


REAL = [
    ("gsm8k", "gsm8k_test.jsonl", 1319, 0),
    ("humaneval", "humaneval.jsonl", 164, 0),
    ("truthfulqa", "truthfulqa.csv", 790, 2),
    ("arc_challenge", "arc_challenge.jsonl", 1172, 4),
    ("arc_easy", "arc_easy.jsonl", 2376, 4),
    ("boolq", "boolq.jsonl", 3270, 2),
    ("piqa", "piqa.jsonl", 1838, 2),
    ("socialiqa", "siqa.jsonl", 1954, 2),
    ("winogrande", "winogrande.jsonl", 1267, 2),
    ("openbookqa", "openbook_qa.jsonl", 500, 4),
    ("commonsenseqa", "commonsense_qa.jsonl", 1221, 4),
    ("lambada", "lambada_openai.jsonl", 5153, 0),
    ("mmlu", "mmlu_test.jsonl.zst", 14042, 4),
    ("bbh", "bbh.jsonl.zst", 6511, 0),
    ("hellaswag", "hellaswag_val_full.txt.bz2", 10042, 4),
]


@pytest.mark.parametrize(("name", "file", "number", "choices"), REAL)
def test_real_files(name: str, file: str, number: int, choices: int, shared: Path) -> None:
    """Every row is an item with a question, its choices without letters, and an answer that is one of them."""
    found = items(of_registry(name, shared / "benchmarks" / file))
    assert len(found) == number
    for item in found:
        assert len(item.question) == 1
        assert item.question[0].strip()
        if name != "bbh":  # some of its questions begin so
            assert not item.question[0].startswith(("Question:", "Passage:", "Context:"))
        assert len(item.answer) == 1
        assert len(item.passage) == (name in ("boolq", "socialiqa"))
        if name not in ("arc_easy", "arc_challenge"):  # a few have three or five
            assert len(item.choices) == choices
        if choices:
            assert item.answer[0] in item.choices
        assert not any(text.endswith("Answer:") for _, text in item.texts())


def test_a_name_takes_the_files_of_the_hub() -> None:
    (humaneval,) = Decontaminate.model_validate({"benchmarks": ["humaneval"]}).benchmarks
    assert (humaneval.hub, humaneval.path, humaneval.question) == ("openai/openai_humaneval", None, ("prompt",))


def test_a_path_comes_before_the_hub_and_other_options_before_the_registry() -> None:
    section = {"name": "gsm8k", "path": "gsm8k.jsonl", "version": "mine"}
    (gsm8k,) = Decontaminate.model_validate({"benchmarks": [section]}).benchmarks
    assert (gsm8k.path, gsm8k.version, gsm8k.question) == ("gsm8k.jsonl", "mine", ("question",))


def test_a_group_is_its_entries_each_once() -> None:
    listed = ["commonsense", "piqa", {"name": "code", "path": "files/{name}.jsonl"}]
    benchmarks = Decontaminate.model_validate({"benchmarks": listed}).benchmarks
    assert [benchmark.name for benchmark in benchmarks] == [*groups()["commonsense"], *groups()["code"]]
    assert benchmarks[-1].path == "files/livecodebench.jsonl"


def test_own_entries_and_the_fields_of_old_recipes_stand_as_they_are() -> None:
    own = {"name": "gsm8k", "path": "a.jsonl", "question": "q"}
    old = {"name": "mmlu", "path": "b.jsonl", "fields": ["question"]}
    first, second = Decontaminate.model_validate({"benchmarks": [own, old]}).benchmarks
    assert (first.question, first.answer) == (("q",), ())
    assert second.fields == ["question"]


def test_a_saved_recipe_does_not_depend_on_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Decontaminate.model_validate({"benchmarks": ["gsm8k"]})
    monkeypatch.setattr("tamis.transforms.decontaminate.benchmark_registry.entries", dict)
    assert Decontaminate.model_validate(loaded.model_dump(mode="json")) == loaded


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (["gsm9k"], "'gsm9k' has no question field, and is not in the registry; did you mean 'gsm8k'"),
        ([{"name": "mine", "path": "a.jsonl"}], "'mine' has no question field, .*`tamis contamination benchmarks` lists"),
        ([{"name": "code", "path": "a.jsonl"}], r"code is a group of benchmarks: its path must contain \{name\}"),
        (["livecodebench"], "give the path of its files, published at https://huggingface.co/datasets/livecodebench"),
        ([{"name": "gsm8k", "path": "a"}, {"name": "gsm8k", "path": "b"}], "two benchmarks are named 'gsm8k'"),
        ([], "at least 1 item"),
    ],
)
def test_mistakes_name_the_cure(listed: list[object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Decontaminate.model_validate({"benchmarks": listed})
