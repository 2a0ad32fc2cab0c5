"""Fine-tuning guided by a task space: what it leaves alone, what it refuses, and where its gradient goes."""

import json
from dataclasses import replace

import pytest
import torch
from stage_runs import flops_of, metrics, perform, weights_hash

from whit.core.errors import BudgetError, RecipeError
from whit.core.ledger import Ledger
from whit.core.rundir import digest_of
from whit.data.batch import Document, collate
from whit.data.render import Renderer
from whit.models.load import load_policy
from whit.objectives._types import Term
from whit.objectives.space_cross_entropy import space_cross_entropy
from whit.prompting.zero_shot import zero_shot
from whit.recipes.pipeline import fingerprint
from whit.recipes.recipe import Recipe
from whit.spaces.build import build_space, num_prompts
from whit.spaces.states import flops_of as flops_of_prompts
from whit.spaces.states import last_states
from whit.stages import _space
from whit.stages._model import model_artifact
from whit.stages._probe import probe
from whit.stages._task import load_task
from whit.testing.run import tiny_run
from whit.testing.tiny import tiny_decoder, tiny_model
from whit.training.guide import Guide
from whit.training.memory import Memory
from whit.training.optim import Optim, Optimizer
from whit.training.signals import Forward, accumulate
from whit.training.weights import token_weights

SMALL = {"source": "answers", "batch_documents": 4, "optim": {"lr": 1e-2}}
SPACE = {"pairs": "examples", "contexts": 4, "understanding": [0], "prediction": [1], "ramp": 0.0, "norm": "state"}
KEPT = {"understanding": [0], "prediction": [1], "ramp": 0.0, "norm": "state"}


@pytest.fixture
def labels(things):
    """A task of three labels: 60 texts in a file."""
    return things(60, "text", "label")


@pytest.fixture
def train(tiny_model, labels, tmp_path):
    def train(name, budget=4e8, **settings):
        run = tiny_run(tmp_path / name, budget, task=str(labels))
        return perform("sft", tiny_model, run, **{**SMALL, **settings})

    return train


def test_weights_of_0_are_sft_to_the_bit(train):
    plain, idle = train("plain"), train("idle", space={**SPACE, "compression": 0.0, "selection": 0.0})
    assert weights_hash(plain) == weights_hash(idle) and flops_of(plain) == flops_of(idle)


def test_a_space_moves_the_weights_is_paid_for_and_its_terms_are_written_down(train):
    plain, guided = train("plain"), train("guided", space=SPACE)
    assert weights_hash(plain) != weights_hash(guided)
    assert guided.facts()["ledger"]["accounts"]["prepass"]["flops"] > 0
    assert len(metrics(guided)) < len(metrics(plain))  # what the space costs is taken from the same budget
    first = metrics(guided)[0]
    assert first["compression"] > 0 and first["selection"] > 0 and -1 <= first["gradient_cosine"] <= 1
    assert {first["read_out_0"], first["read_out_1"]} <= {0.0, 0.25, 0.5, 0.75, 1.0}


def test_a_look_at_the_gradients_makes_room_as_a_step_does(train, monkeypatch):
    asked = []
    real = Memory.make_room
    monkeypatch.setattr(Memory, "make_room", lambda memory, *rest: asked.append(rest) or real(memory, *rest))
    assert len(metrics(train("looked", space=SPACE))) + 1 == len(asked)  # the first step has a look


def test_the_weight_grows_over_the_ramp(train):
    lines = metrics(train("ramp", space={**SPACE, "ramp": 1.0}))
    assert lines[0]["compression"] == 0.0 < lines[-1]["compression"]


def test_a_ramp_over_all_of_the_training_is_no_collapse(train):
    """At a rate that moves nothing the terms grow with their weights alone."""
    ramped = train("ramp", 3e9, space={**SPACE, "ramp": 1.0, "selection": 1.0}, optim={"lr": 1e-7})
    lines = metrics(ramped)
    assert len(lines) >= 20 and lines[-1]["selection"] > 5 * lines[1]["selection"]
    assert not ramped.facts()["outcome"].get("collapsed")


def test_two_labels_lie_on_one_line_and_are_refused_unless_the_whole_state_counts(tiny_model, tmp_path):
    rows = [{"text": f"I see {n} {('pens', 'cups')[n % 2]}.", "label": ("one", "two")[n % 2]} for n in range(40)]
    (tmp_path / "two.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    hints = {**SPACE, "pairs": "hints", "norm": "kept"}
    with pytest.raises(RecipeError, match="on one line"):
        perform(
            "sft", tiny_model, tiny_run(tmp_path / "a", 1e9, task=str(tmp_path / "two.jsonl")), **SMALL, space=hints
        )
    whole = {**hints, "norm": "state"}
    guided = perform(
        "sft", tiny_model, tiny_run(tmp_path / "b", 1e9, task=str(tmp_path / "two.jsonl")), **SMALL, space=whole
    )
    assert metrics(guided)[0]["compression"] > 0


@pytest.mark.parametrize("control", ["random", "learned"])
def test_controls_differ_from_the_space_and_cost_what_it_costs(train, control):
    guided, other = train("guided", space=SPACE), train(control, space={**SPACE, "control": control})
    assert weights_hash(guided) != weights_hash(other)
    assert flops_of(guided) == flops_of(other) and len(metrics(guided)) == len(metrics(other))


def test_a_learned_probe_learns_to_read_the_label_while_random_directions_tell_little(train):
    lines = metrics(train("learned", 6e9, space={**SPACE, "control": "learned", "compression": 1.0}))
    assert sum(line["read_out_0"] for line in lines[-5:]) / 5 > 0.9


@pytest.mark.parametrize(
    "loss", ["space_projection", {"name": "space_target", "alpha": 1.0}, {"name": "space_bottleneck", "sigma": 0.2}]
)
def test_every_variant_trains_by_the_same_setting(train, loss):
    guided = train("variant", 1e9, space={**SPACE, "loss": loss})
    assert len(metrics(guided)) > 2 and metrics(guided)[-1]["compression"] > 0


def test_projecting_draws_states_into_the_space(train):
    lines = metrics(train("projected", 3e9, space={**SPACE, "loss": "space_projection", "compression": 3.0}))
    assert lines[-1]["compression"] < 0.8 * lines[0]["compression"]


def test_a_kept_space_is_the_one_that_would_be_built(train, tiny_model, labels, tmp_path):
    policy = load_policy(tiny_model, dtype="float64")
    renderer = Renderer(policy.tokenizer, max_length=policy.decoder.config.max_length, more_stops=policy.stop_ids)
    examples = load_task(str(labels)).take("train")
    build_space(policy.decoder, renderer, examples, pairs="examples", contexts=4).save(tmp_path / "space")
    kept = train("kept", space={**KEPT, "space": str(tmp_path / "space")})
    built = train("built", 4e8 + 1e8, space=SPACE)
    same = ("compression", "selection", "cross_entropy")
    assert [metrics(kept)[0][key] for key in same] == pytest.approx([metrics(built)[0][key] for key in same], rel=1e-6)
    assert "prepass" not in kept.facts()["ledger"]["accounts"]


def test_a_space_of_another_model_or_of_other_labels_is_refused(train, labels, tmp_path):
    wide = load_policy(tiny_model(tmp_path / "wide", seed=1, hidden_size=32), dtype="float32")
    renderer = Renderer(wide.tokenizer, max_length=256, more_stops=wide.stop_ids)
    examples = load_task(str(labels)).take("train")
    build_space(wide.decoder, renderer, examples, pairs="examples", contexts=2).save(tmp_path / "space")
    with pytest.raises(RecipeError, match="Make it of this model"):
        train("other", space={**KEPT, "space": str(tmp_path / "space")})


def test_a_space_of_other_prompts_is_refused(train, labels, tmp_path, tiny_model):
    policy = load_policy(tiny_model, dtype="float32")
    renderer = Renderer(policy.tokenizer, max_length=256, more_stops=policy.stop_ids)
    space = build_space(policy.decoder, renderer, load_task(str(labels)).take("train"), pairs="examples", contexts=2)
    space.save(tmp_path / "own", template="plain")
    with pytest.raises(
        RecipeError, match='built with the template "plain", and this run has the model\'s own template'
    ):
        train("other", space={**KEPT, "space": str(tmp_path / "own")})


def test_a_kept_space_of_some_layers_chooses_among_them(train, labels, tmp_path, tiny_model):
    policy = load_policy(tiny_model, dtype="float32")
    renderer = Renderer(policy.tokenizer, max_length=256, more_stops=policy.stop_ids)
    space = build_space(policy.decoder, renderer, load_task(str(labels)).take("train"), pairs="examples", contexts=2)
    space.at([0]).save(tmp_path / "first")
    kept = {"norm": "state", "space": str(tmp_path / "first")}
    assert metrics(train("alone", space={**kept, "selection": 0.0}))[-1]["compression"] > 0
    with pytest.raises(RecipeError, match=r"Set space\.prediction, selection = 0"):
        train("both", space=kept)


def test_layers_where_all_labels_lie_on_one_line_are_not_chosen(labels, tmp_path):
    """Of seven the first, second and fifth hold one direction: two are left of the lower four, and one of the rest."""
    deep = tiny_model(tmp_path / "deep", num_hidden_layers=7)
    policy = load_policy(deep, dtype="float64")
    renderer = Renderer(policy.tokenizer, max_length=256, more_stops=policy.stop_ids)
    space = build_space(policy.decoder, renderer, load_task(str(labels)).take("train"), pairs="examples", contexts=4)
    spans = [torch.linalg.svd(base_KD, full_matrices=False)[2] for base_KD in space.base_SKD]
    bases = tuple(span_RD[: 1 if layer in (0, 1, 4) else 3] for layer, span_RD in enumerate(spans))
    replace(space, bases=bases).save(tmp_path / "space")
    run = tiny_run(tmp_path / "run", 4e9, task=str(labels))
    line = metrics(perform("sft", deep, run, **SMALL, space={"ramp": 0.0, "space": str(tmp_path / "space")}))[0]
    assert {name for name in line if name.startswith("read_out")} == {"read_out_2", "read_out_3", "read_out_5"}


def test_layers_of_a_weight_of_0_are_neither_probed_nor_judged(train):
    """Without `understanding` a probe would choose layers for a term that does not exist, and be paid for."""
    named = {key: value for key, value in SPACE.items() if key != "understanding"}
    alone, probed = (train(f"{weight}", space={**named, "compression": weight}) for weight in (0.0, 0.1))
    paid = [run.facts()["ledger"]["accounts"]["prepass"]["flops"] for run in (alone, probed)]
    assert paid[0] < paid[1] and "read_out_0" not in metrics(alone)[0]


def test_a_space_that_is_built_again_does_not_end_the_training_early(train):
    """Only a round as dear as the others has to fit: what is left at the end is less than a few steps."""
    lines = metrics(train("again", 2e9, space={**SPACE, "refresh": 3}))
    step = lines[1]["flops"] - lines[0]["flops"]
    assert 0 <= 2e9 - lines[-1]["flops"] < 2 * step
    rebuilt = lines[3]["flops"] - lines[2]["flops"]
    assert rebuilt > 1.5 * step


@pytest.mark.parametrize("budget", [1e9 + 1.5e7 * step for step in range(6)])
def test_a_space_that_no_longer_fits_the_budget_is_not_built_again(train, budget):
    assert metrics(train("again", budget, space={**SPACE, "refresh": 3}))[-1]["flops"] <= budget


def test_a_space_of_other_weights_of_the_same_sizes_is_refused(train, tmp_path, labels, tiny_model):
    policy = load_policy(tiny_model, dtype="float32")
    renderer = Renderer(policy.tokenizer, max_length=256, more_stops=policy.stop_ids)
    space = build_space(policy.decoder, renderer, load_task(str(labels)).take("train"), pairs="examples", contexts=2)
    space.save(tmp_path / "own", model=digest_of(tiny_model))
    space.save(tmp_path / "other", model="0123456789abcdef")
    assert flops_of(train("fits", space={**KEPT, "space": str(tmp_path / "own")})) > 0
    with pytest.raises(RecipeError, match="of another model"):
        train("not", space={**KEPT, "space": str(tmp_path / "other")})


def test_a_budget_that_the_space_alone_would_use_up_is_refused_before_it_is_built(train):
    with pytest.raises(BudgetError, match=r"building the space reads about \d+ prompts.*lower space.contexts"):
        train("small", budget=1e7, space=SPACE)


def test_what_building_is_foretold_to_cost_is_what_it_is_charged_with(tiny_model, labels):
    policy, examples = load_policy(tiny_model, dtype="float32"), load_task(str(labels)).take("train")
    renderer = Renderer(policy.tokenizer, max_length=256, more_stops=policy.stop_ids)
    prompts, ledger = [renderer.prompt(zero_shot(e)) for e in examples], Ledger()
    last_states(policy.decoder, prompts, [0], ledger)
    assert flops_of_prompts(policy.decoder.config.shape, prompts[:12], len(prompts)) == pytest.approx(
        ledger.flops, rel=0.02
    )


def test_what_a_probe_of_the_machine_reads_of_labels_foretells_what_a_space_costs(tiny_model, labels):
    task = load_task(str(labels))
    rates = probe(model_artifact(str(tiny_model)), task, dtype="float32", device="cpu", max_new_tokens=2)
    assert (rates.num_labels, rates.num_texts) == (3, len(task.take("train")))


def test_what_hints_are_foretold_to_cost_counts_the_hints(tiny_model, labels, tmp_path):
    policy, examples = load_policy(tiny_model, dtype="float32"), load_task(str(labels)).take("train")
    renderer = Renderer(policy.tokenizer, max_length=256, more_stops=policy.stop_ids)
    guidance = _space.Guidance(_space.SpaceGuide(contexts=8), tiny_run(tmp_path, 1e9, task=str(labels)), examples)
    foretold = guidance._cost(policy, renderer, examples, num_prompts(examples, "hints", 8))
    build_space(policy.decoder, renderer, examples, contexts=8, ledger=(ledger := Ledger()))
    assert foretold == pytest.approx(ledger.flops, rel=0.15)


def test_a_recipe_with_a_kept_space_is_read_back_as_it_was_written_out(tiny_model, labels, tmp_path):
    (tmp_path / "space").mkdir()
    tree = {"name": "kept", "model": str(tiny_model), "task": str(labels), "budget": {"flops": 1e12}}
    recipe = Recipe.make({**tree, "stage": [{"kind": "sft", **SMALL, "space": {"space": str(tmp_path / "space")}}]})
    assert Recipe.make(recipe.resolved()).resolved() == recipe.resolved()


def test_a_layer_that_is_not_there_is_named(train):
    with pytest.raises(RecipeError, match="no layer 9"):
        train("far", space={**SPACE, "prediction": [9]})


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"space": {"loss": "cross_entropy"}}, "compares no state"),
        ({"space": {"loss": "space_projection", "control": "learned"}}, "is a classifier"),
        ({"space": {"refresh": 5, "control": "random"}}, "`refresh` builds"),
        ({"space": {"loss": {"name": "space_cross_entropy", "places": [0]}}}, "follow from the layers"),
        ({"space": {"loss": {"name": "space_cross_entropy", "temperature": 0}}}, "temperature"),
        ({"space": {"space": __file__, "contexts": 4}}, "build one"),
        ({"space": {}, "source": "own"}, "needs the label of each text"),
        ({"space": {}, "transform": "meap"}, "exclude one another"),
        ({"space": {}, "terms": [{"objective": "space_projection"}]}, "space = "),
    ],
)
def test_settings_that_exclude_one_another_are_refused_before_anything_is_trained(settings, told):
    recipe = {"name": "guided", "model": "micro-base", "task": "word_problems", "budget": {"flops": 1e12}}
    with pytest.raises(RecipeError, match=told):
        Recipe.make({**recipe, "stage": [{"kind": "sft", **SMALL, **settings}]})


def test_a_kept_space_is_part_of_what_a_run_depends_on(labels, tiny_model, tmp_path):
    policy = load_policy(tiny_model, dtype="float64")
    renderer = Renderer(policy.tokenizer, max_length=256, more_stops=policy.stop_ids)
    examples = load_task(str(labels)).take("train")
    recipe = {"name": "kept", "model": str(tiny_model), "task": str(labels), "budget": {"flops": 1e12}}
    space = {**KEPT, "space": str(tmp_path / "space")}
    with pytest.raises(RecipeError, match="there is no file"):
        Recipe.make({**recipe, "stage": [{"kind": "sft", **SMALL, "space": space}]})
    keys = set()
    for contexts in (2, 4):
        build_space(policy.decoder, renderer, examples, pairs="examples", contexts=contexts).save(tmp_path / "space")
        keys.add(fingerprint(Recipe.make({**recipe, "stage": [{"kind": "sft", **SMALL, "space": space}]})))
    assert len(keys) == 2


def test_texts_that_built_a_kept_space_do_not_choose_its_layers(train, labels, tmp_path, tiny_model, monkeypatch):
    policy, examples = load_policy(tiny_model, dtype="float32"), load_task(str(labels)).take("train")
    renderer = Renderer(policy.tokenizer, max_length=256, more_stops=policy.stop_ids)
    built, others = examples[:-9], examples[-9:]
    space = build_space(policy.decoder, renderer, built, pairs="examples", contexts=2)
    space.save(tmp_path / "kept", texts=[example.id for example in built])
    read = []
    real = _space.last_states
    monkeypatch.setattr(
        _space, "last_states", lambda model, prompts, *rest: read.extend(prompts) or real(model, prompts, *rest)
    )
    train("probed", space={"norm": "state", "prediction": [1], "space": str(tmp_path / "kept")})
    assert sorted(read) == sorted(renderer.prompt(zero_shot(example)) for example in others)


def test_where_nearly_all_texts_built_a_kept_space_layers_have_to_be_named(train, labels, tmp_path, tiny_model):
    policy, examples = load_policy(tiny_model, dtype="float32"), load_task(str(labels)).take("train")
    renderer = Renderer(policy.tokenizer, max_length=256, more_stops=policy.stop_ids)
    space = build_space(policy.decoder, renderer, examples, pairs="examples", contexts=2)
    space.save(tmp_path / "kept", texts=[example.id for example in examples[1:]])
    with pytest.raises(RecipeError, match=r"1 training text did not build .* Name space\.understanding"):
        train("few", space={"norm": "state", "prediction": [1], "space": str(tmp_path / "kept")})


def test_a_stage_that_goes_on_reads_the_space_that_was_built_last(tmp_path):
    """The one that was due did not fit: an earlier one is in use."""
    for number in (3, 9, 30):
        (tmp_path / f"space-{number}").mkdir()
    found = [_space._last_kept(tmp_path, step) for step in (2, 3, 12, 29, 30)]
    assert [path and path.name for path in found] == [None, "space-3", "space-9", "space-9", "space-30"]


def test_directions_stay_where_a_space_that_is_built_again_lies_on_one_line(train, tmp_path, monkeypatch):
    """The spaces that are built later are taken to be flat: none is kept, and the training goes on."""
    built = []
    real = _space.build_space
    monkeypatch.setattr(_space, "build_space", lambda *given, **named: built.append(1) or real(*given, **named))
    monkeypatch.setattr(_space.Guidance, "_flat", lambda _, space: list(space.layers) if len(built) > 1 else [])
    lines = metrics(train("again", 2e9, space={**SPACE, "refresh": 3}))
    assert len(built) > 2 and len(lines) > 6 and lines[-1]["compression"] > 0
    assert not list(tmp_path.rglob("space-*"))


def test_a_push_goes_along_what_denoising_keeps_of_its_direction():
    """Of (0.8, 0.6) at length 10 the first axis is kept: (8, 0)."""
    guide = Guide(torch.tensor([[[0.8, 0.6]]]), torch.zeros(1, 2), torch.tensor([[10.0]]), [torch.tensor([[1.0, 0.0]])])
    read = guide.read(torch.randn(3, 1, 2), torch.tensor([0, 0, 0]), {"push_TLD"})
    torch.testing.assert_close(read["push_TLD"], torch.tensor([[[8.0, 0.0]]] * 3))


@pytest.mark.parametrize("layer", [0, 1])
def test_layers_above_the_guided_one_get_no_gradient_of_its_loss(layer):
    decoder = tiny_decoder(seed=3)
    width = decoder.config.shape.width
    base = torch.nn.functional.normalize(torch.randn(1, 3, width).double(), dim=-1)
    directions = Guide(base, torch.zeros(1, width).double(), torch.ones(1, 3).double(), [torch.eye(width).double()])
    document = Document(list(range(4, 12)), ((5, 8),), recorded={"class_T": [1, 1, 1]})
    term, optimizer = Term(space_cross_entropy, reduction="constant"), Optimizer(decoder, Optim(), 1e-3)
    forward = Forward(decoder, layers=(layer,), guide=directions)
    weights = {term.name: token_weights([document], term)}
    accumulate(forward, collate([document], torch.device("cpu")), [term], weights, optimizer, 0.0)
    for number, own in enumerate(decoder.layers()):
        size = sum(float(p.grad.abs().sum()) for p in own.parameters() if p.grad is not None)
        assert (size > 0) == (number <= layer)
