"""`everloop eval` and the job, against a stand-in of the API."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from cluster.cli.app import app
from deployments.evaluation import job
from deployments.evaluation.suites.running import SuiteRun
from tests.fakes.openai_api import FakeApi, running_fake_api

REFUSING = "http://127.0.0.1:9/v1"
COUNTRIES = {"France": "Paris", "Japan": "Tokyo", "Italy": "Rome", "Kenya": "Nairobi", "Mali": "?"}
SUITE = """\
name: capitals
data: capitals.jsonl
answers:
  messages:
    - {role: system, content: Answer briefly.}
    - {role: user, content: "What is the capital of {{item.country}}?"}
graders:
  - {type: string_check, name: right, operation: ilike,
     input: "{{sample.output_text}}", reference: "{{item.city}}"}
  - {type: score_model, name: near, model: judge, input: [{role: user, content: "{{item.city}}"}]}
slices: [continent]
"""


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with running_fake_api() as fake:
        yield fake


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("deployments.evaluation.suites.following._POLL_S", 0.01)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    rows = [
        {"country": country, "city": city, "continent": "Europe" if i % 2 == 0 else "elsewhere"}
        for i, (country, city) in enumerate(COUNTRIES.items())
    ]
    lines = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "capitals.jsonl").write_text(lines)
    path = tmp_path / "suite.yaml"
    path.write_text(SUITE)
    return path


def everloop(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["eval", *map(str, arguments)])


def planted(suite: Path) -> Path:
    """The same suite with a prompt that makes the model worse."""
    worse = suite.with_name("worse.yaml")
    worse.write_text(SUITE.replace("Answer briefly.", "Say what you like."))
    return worse


def test_a_suite_that_keeps_its_threshold_exits_0(api: FakeApi, suite: Path) -> None:
    result = everloop(suite, "--fail-under", "0.8", "--base-url", api.url)
    assert result.exit_code == 0, result.output
    assert "right passes 4 of 5 items, 0.8; needed are 4, 0.8. (0 to spare)" in result.stdout
    assert "capitals: passed" in result.stdout
    assert "Europe" in result.stdout


def test_below_the_threshold_it_exits_1_and_shows_what_failed(api: FakeApi, suite: Path) -> None:
    result = everloop(suite, "--fail-under", "0.9", "--base-url", api.url)
    assert result.exit_code == 1
    assert "not kept  right passes 4 of 5 items" in result.stdout
    assert "item 5: 0; 'Mali' was answered \"I don't know.\"" in result.stdout


def test_a_planted_regression_fails_and_the_unchanged_prompt_passes(
    api: FakeApi, suite: Path
) -> None:
    for _attempt in range(3):
        options = ("--fail-under", "0.75", "--base-url", api.url)
        assert everloop(suite, *options).exit_code == 0
        assert everloop(planted(suite), *options).exit_code == 1
    sampling = [body["data_source"]["sampling_params"] for body in api.evals.bodies]
    assert all((s["temperature"], s["seed"]) == (0, 0) for s in sampling)


def test_options_may_stand_before_the_suite(api: FakeApi, suite: Path) -> None:
    result = everloop("--fail-under", "right=0.5", "--base-url", api.url, suite)
    assert result.exit_code == 0, result.output
    assert everloop("run", suite, "--base-url", api.url).exit_code == 0


def test_runs_of_an_unchanged_suite_share_one_eval(api: FakeApi, suite: Path) -> None:
    for path in (suite, suite, planted(suite)):
        everloop(path, "--base-url", api.url)
    assert len(api.evals.evals) == 1
    assert len(api.evals.runs) == 3
    suite.write_text(SUITE.replace("name: near", "name: nearer"))
    everloop(suite, "--base-url", api.url)
    assert len(api.evals.evals) == 2


def test_report_page_and_junit_are_written(api: FakeApi, suite: Path, tmp_path: Path) -> None:
    out, junit = tmp_path / "out", tmp_path / "deep" / "junit.xml"
    result = everloop(
        *(suite, "--fail-under", "0.9", "--out", out, "--junit", junit, "--base-url", api.url)
    )
    assert result.exit_code == 1
    report = json.loads((out / "report.json").read_text())
    assert report["passed"] is False
    assert report["graders"][0]["pass_rate"] == 0.8
    assert set(report["slices"]["continent"]) == {"Europe", "elsewhere"}
    assert report["run_reports"] == [{"run": "evalrun_1", "counts": report_counts(4, 1)}]
    assert (out / "page.html").read_text() == "<h1>report</h1>"
    root = ElementTree.fromstring(junit.read_bytes())  # noqa: S314 - our own
    assert (root.get("tests"), root.get("failures")) == ("3", "1")


def report_counts(passed: int, failed: int) -> dict[str, int]:
    return {"passed": passed, "failed": failed, "errored": 0, "total": passed + failed}


def test_json_on_standard_output_is_the_report_only(api: FakeApi, suite: Path) -> None:
    report = json.loads(everloop(suite, "--json", "--base-url", api.url).stdout)
    assert (report["suite"], report["passed"], report["model"]) == ("capitals", True, "smollm2")


def test_an_item_in_error_fails_the_suite(api: FakeApi, suite: Path) -> None:
    api.evals.broken = "Kenya"
    result = everloop(suite, "--base-url", api.url)
    assert result.exit_code == 1
    assert "4 of 5 items were answered and graded" in result.stdout
    assert "item 4: the model did not answer" in result.stdout


def test_a_run_that_fails_as_a_whole_exits_1(api: FakeApi, suite: Path) -> None:
    api.evals.failing = True
    result = everloop(suite, "--base-url", api.url)
    assert result.exit_code == 1
    assert "no item could be scored" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fail-under", "2"), "is no share"),
        (("--fail-under", "left=1"), "no grader of the suite"),
    ],
)
def test_wrong_options_exit_2_before_anything_is_asked(
    api: FakeApi, suite: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = everloop(suite, *arguments, "--base-url", api.url)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert api.evals.evals == {}


def test_a_wrong_suite_exits_2_with_file_and_line(suite: Path) -> None:
    suite.write_text(SUITE.replace("role: system", "role: boss"))
    result = everloop(suite)
    assert result.exit_code == 2
    assert "suite.yaml, line 5: answers.messages.0.role = 'boss'" in " ".join(
        result.stderr.replace("\n", "").split()
    )


def test_a_grader_that_the_service_refuses_exits_2(api: FakeApi, suite: Path) -> None:
    suite.write_text(SUITE.replace("type: score_model", "type: python"))
    result = everloop(suite, "--base-url", api.url)
    assert result.exit_code == 2
    assert "python graders are not run here" in " ".join(result.stderr.split())


def test_no_service_exits_3(suite: Path) -> None:
    assert everloop(suite, "--base-url", REFUSING).exit_code == 3


def test_a_baseline_fails_what_is_shown_to_be_worse(
    api: FakeApi, suite: Path, tmp_path: Path
) -> None:
    rows = [{"country": "Japan", "city": "Tokyo", "continent": str(n)} for n in range(8)]
    (tmp_path / "capitals.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert everloop(suite, "--base-url", api.url).exit_code == 0
    options = ("--baseline", "evalrun_1", "--base-url", api.url, "--out", tmp_path / "out")
    same = everloop(suite, *options)
    assert same.exit_code == 0, same.output
    assert "right: no difference is shown." in same.stdout
    assert "Allowed is a fall of 0." in same.stdout
    worse = everloop(planted(suite), *options)
    assert worse.exit_code == 1
    assert "not kept  right: the candidate is worse." in worse.stdout
    assert api.evals.comparisons[-1] == {
        "baseline": "evalrun_1",
        "candidate": "evalrun_3",
        "slice_by": "continent",
        "alpha": 0.05,
    }
    assert (tmp_path / "out" / "comparison.html").read_text() == "<h1>comparison</h1>"


def test_an_unknown_baseline_is_told(api: FakeApi, suite: Path) -> None:
    result = everloop(suite, "--baseline", "evalrun_9", "--base-url", api.url)
    assert result.exit_code == 1
    assert "There is no run 'evalrun_9'" in result.stderr


def test_given_answers_are_graded_without_a_model(api: FakeApi, suite: Path) -> None:
    head, _, tail = SUITE.partition("  messages:")
    suite.write_text(f"{head}  given: city\n{tail[tail.index('graders:') :]}")
    result = everloop(suite, "--fail-under", "1", "--base-url", api.url)
    assert result.exit_code == 0, result.output
    assert api.evals.bodies[0]["data_source"]["type"] == "jsonl"
    assert everloop(suite, "--model", "m", "--base-url", api.url).exit_code == 2


def test_file_search_asks_through_responses_with_the_stores_id(api: FakeApi, suite: Path) -> None:
    api.post_store("handbook")
    search = "  file_search: {stores: [handbook], max_results: 3}\ngraders:"
    suite.write_text(SUITE.replace("graders:", search))
    everloop(suite, "--model", "assistant", "--base-url", api.url)
    source = api.evals.bodies[0]["data_source"]
    assert (source["type"], source["model"]) == ("responses", "assistant")
    assert source["sampling_params"]["tools"] == [
        {"type": "file_search", "vector_store_ids": ["vs_1"], "max_num_results": 3}
    ]


def test_repeats_are_runs_of_their_own_seeds_and_count_together(api: FakeApi, suite: Path) -> None:
    drawn = "  sampling: {temperature: 0.7}\ngraders:"
    suite.write_text(SUITE.replace("graders:", drawn) + "repeats: 3\nseed: 5\n")
    result = everloop(suite, "--fail-under", "0.8", "--base-url", api.url)
    assert result.exit_code == 0, result.output
    seeds = [body["data_source"]["sampling_params"]["seed"] for body in api.evals.bodies]
    assert seeds == [5, 6, 7]
    assert "right passes 12 of 15 items" in result.stdout


def test_items_of_a_stored_file_are_named_by_its_id(api: FakeApi, suite: Path) -> None:
    made = api.post_file("c.jsonl", (suite.parent / "capitals.jsonl").read_bytes())
    suite.write_text(SUITE.replace("capitals.jsonl", "{file_id: " + made["id"] + "}"))
    everloop(suite, "--base-url", api.url)
    assert api.evals.bodies[0]["data_source"]["source"] == {"type": "file_id", "id": made["id"]}


def test_many_items_are_uploaded(
    api: FakeApi, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.evaluation.suites.service.INLINE_BYTES", 10)
    everloop(suite, "--base-url", api.url)
    source = api.evals.bodies[0]["data_source"]["source"]
    name, data = api.files[source["id"]]
    assert name == "suite.jsonl"
    assert json.loads(data.splitlines()[0])["item"]["city"] == "Paris"


def test_synthetic_items_are_said_everywhere(api: FakeApi, suite: Path, tmp_path: Path) -> None:
    row = {"country": "Japan", "city": "Tokyo", "continent": "Asia"}
    (tmp_path / "capitals.jsonl").write_text(
        json.dumps(row) + "\n" + json.dumps(row | {"metadata": {"synthetic": True}})
    )
    result = everloop(suite, "--junit", tmp_path / "j.xml", "--base-url", api.url)
    assert "1 of 2 items are synthetic" in result.stdout
    assert b"1 of 2 items are synthetic" in (tmp_path / "j.xml").read_bytes()
    assert api.evals.bodies[0]["metadata"]["synthetic"] == "1 of 2 items"
    assert "(synthetic)" in everloop("list", "--base-url", api.url).stdout
    assert (
        "1 of 2 items are synthetic" in everloop("show", "evalrun_1", "--base-url", api.url).stdout
    )


def test_ctrl_c_says_how_to_follow_on(
    api: FakeApi, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("deployments.evaluation.suites.running.follow_runs", interrupted)
    result = everloop(suite, "--base-url", api.url)
    assert result.exit_code == 130
    assert "everloop eval show evalrun_1" in result.stderr
    assert api.evals.runs["evalrun_1"]["status"] != "canceled"


def test_list_show_and_cancel(api: FakeApi, suite: Path, tmp_path: Path) -> None:
    assert "No run was made yet" in everloop("list", "--base-url", api.url).stdout
    everloop(suite, "--base-url", api.url)
    api.evals.stuck = True
    api.evals.start("eval_1", api.evals.bodies[0])
    listed = everloop("list", "--base-url", api.url).stdout
    assert listed.index("evalrun_2") < listed.index("evalrun_1")
    shown = everloop("show", "evalrun_1", "--page", tmp_path / "p.html", "--base-url", api.url)
    assert "4 of 5" in shown.stdout
    assert (tmp_path / "p.html").read_text() == "<h1>report</h1>"
    cancelled = everloop("cancel", "evalrun_2", "--base-url", api.url)
    assert cancelled.stdout == "evalrun_2 is canceled\n"


def test_compare_asks_the_service(api: FakeApi, suite: Path, tmp_path: Path) -> None:
    everloop(suite, "--base-url", api.url)
    everloop(planted(suite), "--base-url", api.url)
    told = everloop("compare", "evalrun_1", "evalrun_2", "--base-url", api.url).stdout
    assert "no difference shown" in told
    assert "-0.8000" in told
    api.evals.comparisons.clear()
    result = everloop(
        *("compare", "evalrun_1", "evalrun_2", "--slice-by", "team", "--json"),
        *("--page", tmp_path / "c.html", "--base-url", api.url),
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["object"] == "eval.comparison"
    assert api.evals.comparisons == [
        {"baseline": "evalrun_1", "candidate": "evalrun_2", "slice_by": "team"}
    ]
    assert (tmp_path / "c.html").is_file()


def test_samples_are_listed_and_copied_but_never_over_files(tmp_path: Path) -> None:
    listed = everloop("--samples").stdout
    assert all(f"{name}.yaml" in listed for name in ("rag_quality", "safety", "multilingual"))
    assert everloop("--samples", "--out", tmp_path / "mine").exit_code == 0
    assert (tmp_path / "mine" / "regression.jsonl").is_file()
    again = everloop("--samples", "--out", tmp_path / "mine")
    assert again.exit_code == 2
    assert "already" in again.stderr


def test_neither_a_suite_nor_samples_is_wrong(suite: Path) -> None:
    assert everloop("run").exit_code == 2
    assert everloop(suite, "--samples").exit_code == 2


def test_help_imports_no_evaluation() -> None:
    code = "import sys, cluster.cli.app; print('deployments' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_the_job_runs_the_same_and_prints_lines(
    api: FakeApi, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--suite", str(suite), "--base-url", api.url]
    assert job.main([*arguments, "--fail-under", "0.8"]) == 0
    printed = capsys.readouterr()
    assert "5 of 5 items: 4 passed, 1 failed" in printed.err
    assert "capitals: passed" in printed.out
    assert job.main([*arguments, "--fail-under", "0.9"]) == 1
    assert job.main([*arguments, "--fail-under", "9"]) == 2
    assert job.main(["--suite", str(suite), "--base-url", REFUSING]) == 3


def test_a_job_that_is_stopped_cancels_its_run(
    api: FakeApi, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_arguments: object) -> SuiteRun:
        raise KeyboardInterrupt

    monkeypatch.setattr("deployments.evaluation.suites.running.follow_runs", stopped)
    assert job.main(["--suite", str(suite), "--base-url", api.url]) == 130
    assert api.evals.runs["evalrun_1"]["status"] == "canceled"
