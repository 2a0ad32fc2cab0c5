"""One setting gives a pipeline of RL its control: all the same but a reward that knows nothing."""

import json

import pytest

from whit.core.errors import RecipeError
from whit.study.rounds import qualifying_jobs, record_of, trial_jobs, with_finalists, with_rates
from whit.study.study import Study


@pytest.fixture
def study(tiny_model, sums):
    def study(**more):
        pipelines = [
            {"name": "sft", "stage": [{"kind": "sft"}]},
            {
                "name": "grpo",
                "first_seed": 3,
                "stage": [{"kind": "sft"}, {"kind": "rl", "share": 2, "prompts_per_step": 2}],
            },
        ]
        tree = {"model": str(tiny_model), "task": str(sums), "flops": 4e8, "pipeline": pipelines, **more}
        return Study.make(tree)

    return study


def recorded(jobs, directory, accuracies):
    for job in jobs:
        path = record_of(job, directory)
        path.parent.mkdir(parents=True, exist_ok=True)
        own = accuracies.get((job.name, job.factor), accuracies.get(job.name, 0.0))
        path.write_text(json.dumps({"accuracy": [own, own, own], "flops": 1.0, "seconds": 1.0, "error": ""}))


def test_the_control_is_the_pipeline_under_a_reward_that_knows_nothing(study):
    made = study(random_reward=["grpo"])
    source, control = made.pipeline[1:]
    assert (control.name, control.control, control.control_of) == ("grpo-random-reward", True, "grpo")
    assert (control.first_seed, control.lr_factor) == (source.first_seed, source.lr_factor)
    assert [stage.settings for stage in control.stage] == [{}, {"prompts_per_step": 2, "reward": "random_control"}]
    assert [stage.share for stage in control.stage] == [1.0, 2.0]
    assert [spec.name for spec in made.candidates] == ["sft", "grpo"]


def test_what_is_written_reads_back_as_it_is(study):
    made = study(random_reward=["grpo"])
    assert Study.make(made.model_dump()) == made


def test_it_takes_its_pipelines_rate_and_no_trials_of_its_own(study, tmp_path):
    asked = study(random_reward=["grpo"], trials=[0.3, 1, 3])
    jobs = trial_jobs(asked)
    assert {job.name for job in jobs} == {"sft", "grpo"}
    recorded(jobs, tmp_path, {("grpo", 3): 0.5, ("sft", 0.3): 0.4})
    tuned, _ = with_rates(asked, tmp_path)
    assert {spec.name: spec.lr_factor for spec in tuned.pipeline} == {"sft": 0.3, "grpo": 3, "grpo-random-reward": 3}


@pytest.mark.parametrize(("best", "stays"), [("grpo", ["grpo", "grpo-random-reward"]), ("sft", ["sft"])])
def test_it_goes_on_with_its_pipeline_or_not_at_all(study, tmp_path, best, stays):
    more = {"name": "other", "stage": [{"kind": "kd"}]}
    asked = study(random_reward=["grpo"])
    asked = Study.make({**asked.model_dump(), "finalists": 2, "teacher": asked.model,
                        "pipeline": [*asked.model_dump()["pipeline"], more]})  # fmt: skip
    recorded(qualifying_jobs(asked), tmp_path, {best: 0.5, "other": 0.4})
    final, _ = with_finalists(asked, tmp_path)
    assert [spec.name for spec in final.pipeline] == [*stays, "other"]
    assert Study.make(final.model_dump()) == final


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"random_reward": ["grpp"]}, "no pipeline 'grpp'.*grpo"),
        ({"random_reward": ["sft"]}, "no stage of the pipeline 'sft' has a reward"),
    ],
)
def test_what_cannot_be_is_refused(study, more, told):
    with pytest.raises(RecipeError, match=told):
        study(**more)


@pytest.mark.parametrize("spec", [{"control": False, "control_of": "sft"}, {"control": True, "control_of": "stf"}])
def test_a_control_of_nothing_is_refused(study, spec):
    tree = study().model_dump()
    with pytest.raises(RecipeError, match="control_of"):
        Study.make({**tree, "pipeline": [*tree["pipeline"], {"name": "x", "stage": [{"kind": "sft"}], **spec}]})
