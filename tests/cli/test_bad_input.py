"""What is wrong with a request or a file is said in one line that names it, with the right exit code and no traceback."""

import json
import resource
import shutil
from pathlib import Path

import pytest

RUN = (
    'ignore_checks=["truncation"]',
    "dtype=float32",
    "max_new_tokens=4",
    "evaluate.items=4",
    "evaluate.samples=1",
    "stage.1.batch_documents=4",
)
BUDGET = "budget.flops=5e7"


@pytest.fixture
def run(whit, tiny_model, sums):
    """`whit run sft` on the tiny model and the sums, with other or more overrides."""

    def run(*overrides, recipe="sft"):
        return whit("run", recipe, f"model={tiny_model}", f"task={sums}", *RUN, BUDGET, *overrides, "--device", "cpu")

    return run


@pytest.fixture
def broken(tiny_model, tmp_path):
    """A copy of the tiny model, to be damaged."""
    return Path(shutil.copytree(tiny_model, tmp_path / "broken"))


def save(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def rows(count, **more):
    return [{"prompt": f"{n} + {n}?", "answer": str(2 * n), **more} for n in range(count)]


# What is asked for: exit code 2, before anything is loaded.


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stage.1.sourc=answers", "stage.1.sourc: there is no setting 'sourc'. Did you mean 'source'?"),
        ("stage.1.optim.warmp=0", "stage.1.optim.warmp: there is no setting 'warmp'. Did you mean 'warmup'?"),
        ("stage.1.kind=sftt", "stage.1.kind: no stage is called 'sftt'. Did you mean 'sft'?"),
        ("task=word_problem", "task: no task is called 'word_problem'. Did you mean 'word_problems'?"),
        ("task=nowhere.csv", "task: there is no data file nowhere.csv."),
        ("bugdet.flops=1e9", "bugdet: there is no setting 'bugdet'. Did you mean 'budget'?"),
        ("stage.1.batch_documents=many", "stage.1.batch_documents: input should be a valid integer"),
        ("stage.1.batch_documents=0", "stage.1.batch_documents: input should be greater than 0; given: 0."),
        ("stage.1.optim.lr=-1", "stage.1.optim.lr: input should be greater than 0; given: -1."),
        (
            "stage.1.source=labels",
            "stage.1.source: input should be 'rationales', 'answers', 'own' or 'traces'; given: 'labels'.",
        ),
        ("stage.2.share=1", "'stage.2.share': '2' is no stage: they count from 1, the last is 1."),
        ("seed", "'seed' is not an override. Write name=value, such as stage.1.optim.lr=2e-5."),
        ("seed.deep=1", "'seed.deep': 'seed' holds a value and has nothing below it."),
        ("name=a/b", "name: string should match pattern"),
        ("evaluate.split=tests", "evaluate.split: input should be 'train', 'dev', 'test' or 'ood'; given: 'tests'."),
        ("model=tiny/", "there is no model 'tiny/'"),
        ("stages=1", "stages: there is no setting 'stages'. Did you mean 'stage'?"),
    ],
)
def test_a_setting_that_is_not_understood(run, override, message):
    said = run("seed=0", override)
    assert message in said.error
    assert said.code == 2


def test_a_part_that_a_later_stage_needs_is_checked_before_the_first_one_runs(run, tmp_path):
    said = run("stage.2.algorithm.name=grpoo", recipe="sft-rl")
    assert (said.code, said.error) == (
        2,
        "error: stage.2.algorithm: no algorithm is called 'grpoo'. Did you mean 'grpo'? (`whit parts algorithm` lists "
        "them; one of your own is named file.py:function)",
    )
    assert "stage.2.algorithm.clipp: there is no setting" in run("stage.2.algorithm.clipp=1", recipe="sft-rl").error
    assert not (tmp_path / "runs").exists()


def test_a_setting_of_a_file_task_that_does_not_exist(run, sums):
    said = run(f'task={{name = "{sums}", colums = "prompt=q"}}')
    assert (said.code, said.error) == (
        2,
        "error: task.colums: there is no setting 'colums'. Did you mean 'columns'?",
    )


@pytest.mark.parametrize(
    ("verifier", "message"),
    [
        ("nosuch", "task.verifier: no verifier is called 'nosuch'. There is: "),
        ("exact_nmber", "task.verifier: no verifier is called 'exact_nmber'. Did you mean 'exact_number'?"),
        ("mine.py:reward", "task.verifier: there is no file mine.py"),
        ("reward_function", "task.verifier: 'reward_function' needs the setting 'function'. Name your function itself"),
    ],
)
def test_a_verifier_of_a_file_that_does_not_exist_is_named_before_a_row_is_read(run, whit, tmp_path, verifier, message):
    file = save(tmp_path / "data.jsonl", ["{cut"])
    said = run(f'task={{name = "{file}", verifier = "{verifier}"}}')
    assert said.code == 2 and said.error.startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("recipe", "left_out", "message"),
    [
        ("sft", "model", "model: this setting is needed and was not given. Add model=DIR"),
        ("sft", "task", "task: this setting is needed and was not given. Add task=NAME"),
        ("sft", "budget", "stage.1 (sft): there is no budget, and nothing else ends this stage. Add budget.hours=1"),
        ("kd", "teacher", "teacher: stage kd needs one. Add teacher=DIR"),
    ],
)
def test_what_a_library_recipe_leaves_open(whit, tiny_model, sums, recipe, left_out, message):
    given = {"model": f"model={tiny_model}", "task": f"task={sums}", "budget": BUDGET}
    said = whit("run", recipe, *(text for name, text in given.items() if name != left_out))
    assert message in said.error
    assert said.code == 2


def test_an_unknown_recipe_and_a_directory_in_its_place(whit, tmp_path):
    for typed in ("stf", "sfr"):
        assert whit("run", typed).error.startswith(f"error: no recipe is called '{typed}'. Did you mean 'sft'?")
    said = whit("run", tmp_path)
    assert said.code == 2
    assert said.error == f"error: {tmp_path} cannot be read: Is a directory. Give the path of a .toml file."


def test_the_kinds_of_parts_are_listed_once(whit):
    assert whit("parts", "nosuch").error.count("objective") == whit("parts", "objectiv").error.count(" form,") == 1


def test_an_unknown_table_explains_the_setting_that_is_missing(whit, tmp_path):
    (tmp_path / "r.toml").write_text('name = "r"\n[[stages]]\nkind = "sft"\n')
    assert whit("run", "r.toml").error == "error: stages: there is no setting 'stages'. Did you mean 'stage'?"


def test_a_run_that_has_not_ended_is_no_report(whit, tmp_path):
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "recipe.toml").write_text("")
    for others in ((), ("half",)):
        said = whit("report", "half", *others)
        assert said.code == 2 and "no run.json" in said.error and "its run has not ended" in said.error.lower()


def test_a_recipe_that_is_not_toml(whit, tmp_path):
    (tmp_path / "r.toml").write_text("name = \n")
    said = whit("run", "r.toml")
    assert said.code == 2 and "r.toml is not valid TOML" in said.error and "line 1" in said.error


def test_a_budget_too_small_for_one_step_is_refused_at_once_with_the_numbers_of_the_plan(run, whit, tiny_model, sums):
    planned = whit("plan", "sft", f"model={tiny_model}", f"task={sums}", *RUN, "budget.flops=1000")
    told = " ".join(planned.out.split())
    lack = told[told.index("TOO SMALL") : told.index(" in all")]
    assert planned.code == 1
    assert "about 1.84e+07 are needed, if a prompt has 100 tokens and a completion 4" in lack
    said = run("budget.flops=1000")
    assert said.code == 2 and lack in said.error and said.error.endswith("try it all the same with --anyway.")
    assert "make the steps smaller (batch_documents), or" in said.error
    of_rl = whit("run", "rl", f"model={tiny_model}", f"task={sums}", "budget.flops=1000")
    assert "make the steps smaller (prompts_per_step, algorithm.group_size), or" in of_rl.error
    facts = json.loads(whit("plan", "sft", f"model={tiny_model}", "budget.flops=1000", "--json").out)
    assert facts["is_enough"] is False


def test_a_run_that_is_refused_leaves_nothing_behind(run, tmp_path):
    said = run("budget.flops=1000", "--anyway")
    assert said.code == 2
    assert "the budget is too small for one step. Raise the budget, or make the step smaller" in said.error
    left = [path for path in (tmp_path / "runs").rglob("*") if path.is_file() and path.parent.name != "preflight"]
    assert left == [] and not list((tmp_path / "runs").glob("sft-*"))


def test_a_teacher_that_is_not_there_is_named_before_anything_is_planned_or_trained(
    run, whit, tiny_model, sums, tmp_path
):
    asked = ("--model", tiny_model, "--task", sums, "--flops", "1e9", "--device", "cpu")
    said = whit("study", *asked, "--teacher", "micro-teechr", "--plan")
    assert said.code == 2 and "there is no model 'micro-teechr'" in said.error and "'micro-teacher'" in said.error
    said = whit("study", *asked, "--teacher", "texts.jsonl", "--plan")
    assert said.code == 2 and "teacher: there is no file texts.jsonl." in said.error
    said = run("teacher=micro-teechr", recipe="sft-kd-rl")
    assert said.code == 2 and "there is no model 'micro-teechr'" in said.error
    assert not (tmp_path / "runs").exists()


def test_a_check_that_fails_is_said_once(run):
    said = run("stage.1.end_of_turn=false")
    assert (said.code, said.err.count("stop token")) == (1, 1)


def test_a_directory_that_may_not_be_read_is_named(whit, tmp_path, monkeypatch):
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "recipe.toml").write_text("")

    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", refuse)
        said = whit("report", tmp_path)
    assert said.code == 1 and "run.json cannot be read: Permission denied. Give yourself the right" in said.error
    with monkeypatch.context() as patched:
        patched.setattr(Path, "exists", refuse)
        said = whit("report", tmp_path)
    assert said.code == 1 and "Permission denied. Give yourself the right to use it." in said.error


@pytest.mark.parametrize("hours", ["0", "1e-6"])
def test_hours_too_few_for_a_study(whit, tiny_model, sums, hours):
    said = whit("study", "--model", tiny_model, "--task", sums, "--hours", hours, "--device", "cpu")
    assert said.code == 2
    assert "hours are needed. Raise --hours, take fewer --seeds, or a smaller model." in said.error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("study",), "give --model, --task and one of --hours, --money and --flops; or the path of a study.toml."),
        (
            ("study", "--model", "m", "--task", "t", "--hours", "1", "--money", "1"),
            "--hours 1 and --money 1 are 2 ceilings, and a study has one. Leave out the others.",
        ),
        (("study", "--model", "m", "--task", "t", "--money", "1"), "--money 1 buys hours at a price: add --price"),
        (("study", "x.toml"), "there is no file x.toml"),
        (("study", "--seeds", "0"), "'--seeds'"),
        (("generate", "tiny", "hi", "--dtype", "float16"), "'--dtype'"),
        (("generate", "tiny", "hi", "--temperature", "-1"), "generate.temperature: input should be greater than"),
        (("evaluate", "tiny", "--task", "gsm8k", "--samples", "-1"), "'--samples'"),
        (
            ("evaluate", "tiny", "--task", "{name=gsm8k}"),
            "this is no table with the name of a task or file. Write it as TOML",
        ),
        (
            ("write", "tiny", "t.jsonl", "--task", '{file = "x.csv"}'),
            "this is no table with the name of a task or file.",
        ),
        (("runs", "why"), "write `whit runs`, or `whit runs why KEY [KEY]`."),
        (("runs", "why", "abc"), "0 artifacts have a key that begins with 'abc'. `whit runs` lists them."),
        (("export", "nowhere"), "nowhere is not a run: it holds no run.json, leaderboard.json or artifact.json."),
        (("parts", "objectiv"), "there is no kind of part called 'objectiv'. Did you mean 'objective'? (of "),
        (("parts", "recipes"), "there is no kind of part called 'recipes'. Did you mean 'recipe'? (of "),
        (("parts", "nosuch"), "there is no kind of part called 'nosuch'. There is: algorithm, "),
        (("report", "nosuch"), "nosuch is no directory. `whit runs` lists the runs and studies that there are."),
        (("report", "."), "holds no leaderboard.json and no run.json: give the directory of a study or of a run."),
        (("report", ".", "nosuch"), ". holds no run.json and no recipe.toml: give directories of runs"),
        (("export", "nosuch", "--format", "gguf"), "there is no model 'nosuch'"),
        (("generate", "nosuch", "hi"), "there is no model 'nosuch'"),
        (("evaluate", "nosuch", "--task", "word_problems"), "there is no model 'nosuch'"),
        (("study", "--model", "nosuch", "--task", "word_problems", "--flops", "1"), "there is no model 'nosuch'"),
        (("plan", "sft", "model=nosuch", "budget.flops=1"), "there is no model 'nosuch'"),
        (("plan", "sft"), "model: this setting is needed and was not given."),
        (("plan", "sft", "model=x"), "budget: this recipe names none."),
        (("nonsense",), "No such command 'nonsense'"),
    ],
)
def test_wrong_usage_of_commands(whit, arguments, message):
    said = whit(*arguments)
    assert message in said.error
    assert said.code == 2


@pytest.mark.parametrize("device", ["gpu", "cuda:7"])
def test_a_device_that_is_not_there(run, whit, device):
    said = whit("evaluate", "tiny", "--task", "word_problems", "--device", device)
    assert said.code in (1, 2) and said.error


# What is read: exit code 1, naming the file and what to do.


def test_a_run_without_a_model(whit, tmp_path):
    (tmp_path / "failed").mkdir()
    (tmp_path / "failed" / "run.json").write_text('{"model": ""}')
    said = whit("generate", "failed", "1 + 1?")
    assert said.code == 1
    assert said.error == "error: failed: its model, none, is not there. Run it again to make it."


def test_a_model_directory_without_a_tokenizer(run, broken):
    (broken / "tokenizer.json").unlink()
    said = run(f"model={broken}")
    assert said.code == 1
    assert f"{broken} has no tokenizer" in said.error and "Copy the tokenizer files" in said.error


def test_a_model_directory_without_a_config(run, broken):
    (broken / "config.json").unlink()
    said = run(f"model={broken}")
    assert (said.code, said.error) == (1, f"error: {broken} holds no config.json: it is not a model directory.")


@pytest.mark.parametrize("keep", [10, 4000])
def test_a_truncated_safetensors_file(run, broken, keep):
    file = broken / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    said = run(f"model={broken}")
    assert said.code == 1
    assert f"{file} is damaged or cut short" in said.error and "Copy or download it again." in said.error


def test_a_model_without_a_chat_template(run, broken):
    (broken / "chat_template.jinja").unlink()
    said = run(f"model={broken}")
    assert said.code == 1
    assert "has no chat template" in said.error and 'template = "plain"' in said.error
    assert run(f"model={broken}", "template=plain").code == 0


def test_a_damaged_line_of_a_jsonl_file(run, tmp_path):
    said = run(f"task={save(tmp_path / 'data.jsonl', [*rows(3), '{cut'])}")
    assert said.code == 1
    assert f"{tmp_path / 'data.jsonl'}, line 4: not JSON" in said.error


def test_an_empty_data_set(run, tmp_path):
    said = run(f"task={save(tmp_path / 'data.jsonl', [])}")
    assert (said.code, said.error) == (1, f"error: {tmp_path / 'data.jsonl'} holds no rows. Was it written to the end?")


def test_an_unknown_column(run, tmp_path):
    file = save(tmp_path / "data.jsonl", rows(30))
    said = run(f'task={{name = "{file}", columns = "prompt=qestion"}}')
    assert said.code == 2
    assert "there is no column 'qestion' for prompt." in said.error and "The columns are: prompt, answer." in said.error
    said = run(f'task={{name = "{file}", columns = {{prompt = "promt", answer = "answer"}}}}')
    assert "there is no column 'promt' for prompt. Did you mean 'prompt'?" in said.error


def test_duplicate_rows_across_splits(run, tmp_path):
    file = save(tmp_path / "data.jsonl", rows(30, split="train") + rows(1, split="test") + rows(2, split="dev")[1:])
    said = run(f"task={file}")
    assert said.code == 1
    assert "row 1 (train) and row 31 (test)" in said.error and 'on_duplicates = "drop"' in said.error


def test_a_gold_answer_that_its_own_verifier_refuses(run, tmp_path):
    file = save(tmp_path / "data.jsonl", [*rows(30), {"prompt": "who?", "answer": "I am not sure."}])
    said = run(f'task={{name = "{file}", verifier = "exact_number"}}')
    assert said.code == 1
    assert "row 31: the answer 'I am not sure.' is not a number." in said.error


def test_a_prompt_longer_than_the_context(run, tmp_path):
    file = save(tmp_path / "data.jsonl", [{**row, "prompt": row["prompt"] * 300} for row in rows(30)])
    said = run(f"task={file}", "stage.1.source=answers")
    assert said.code == 1
    assert "tokens and the model's context holds 256" in said.error and "Shorten it" in said.error


def test_a_full_disk(run, tmp_path):
    run()  # so that what follows starts from a model whose digest is known
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))  # stands in for a full disk
    try:
        said = run("seed=1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said.code == 1
    assert "could not write under" in said.error and "make room or choose another directory (--runs DIR)" in said.error
    assert len(list((tmp_path / "runs" / "artifacts").glob("sft-*/artifact.json"))) == 1
    assert run("seed=1").code == 0


def test_a_directory_of_runs_that_cannot_be_made(whit, tiny_model, sums, tmp_path):
    (tmp_path / "file").write_text("")
    said = whit("run", "sft", f"model={tiny_model}", f"task={sums}", *RUN, BUDGET, "--runs", tmp_path / "file")
    assert said.code == 1
    assert "could not write under" in said.error


def test_no_network_for_a_name_on_the_hub(run, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = run("model=nobody/no-such-model")
    assert said.code == 1
    assert "'nobody/no-such-model' is neither a directory nor a nickname here" in said.error
    assert "Without network, copy the model's directory to this machine and give its path." in said.error


def test_options_beside_a_plan_are_not_ignored(whit, tmp_path):
    (tmp_path / "study.toml").write_text('name = "x"')
    said = whit("study", str(tmp_path / "study.toml"), "--hours", "1", "--seeds", "5")
    assert said.code == 2
    assert "--hours, --seeds would say it again. Edit the file." in said.error


@pytest.mark.parametrize(
    ("teacher", "options", "code", "message"),
    [
        ("http://localhost:1/v1", (), 2, "may serve several models: say which one, --model NAME."),
        ("http://localhost:1/v1", ("--model", "m", "--template", "plain"), 2, "leave --template out."),
        ("http://localhost:1/v1", ("--model", "m"), 1, "http://localhost:1/v1 cannot be reached (ConnectError"),
        ("http://localhost:one/v1", ("--model", "m"), 2, "is no address of a server. Give it as http://HOST:PORT/v1."),
        ("http://a/v1?key=k", ("--model", "m"), 2, "Put the key into the environment variable OPENAI_API_KEY"),
        ("http://a/v1", ("--model", "m", "--key-variable", "NOWHERE"), 2, "there is no such variable."),
        ("models/x", ("--logprobs", 3), 2, "are for a server, and models/x is none."),
    ],
)
def test_a_server_that_cannot_be_asked(whit, sums, monkeypatch, teacher, options, code, message):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    said = whit("write", teacher, "texts.jsonl", "--task", sums, *options)
    assert message in said.error and said.code == code
