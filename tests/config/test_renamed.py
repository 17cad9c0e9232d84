"""Words of CosmicTagger, of deep-learning-CTA and of older versions: each is taken, or answered by what it is here."""

import pytest
from omegaconf import OmegaConf

from airshower.config import build, fields, renamed
from airshower.errors import UserError
from tests.command import TINY, Outcome, airshower

TAKEN = "taken"
# what CosmicTagger's README prints as its configuration, and what becomes of each line of it here
PRINTED = {
    "data.aux_file=cosmic_tagging_test.h5": TAKEN,
    "data.data_directory=/grand/projects/datascience/cadams/datasets/SBND/": TAKEN,
    "data.data_format=channels_last": "is framework.channels_last=true or false here",
    "data.downsample=1": TAKEN,
    "data.file=cosmic_tagging_train.h5": TAKEN,
    "data.synthetic=False": "is data=lartpc_simulated (true) or data=lartpc (false) here",
    "framework.environment_variables.TF_XLA_FLAGS='--tf_xla_auto_jit=2'": "is for TensorFlow",
    "framework.inter_op_parallelism_threads=2": TAKEN,
    "framework.intra_op_parallelism_threads=24": TAKEN,
    "framework.name=tensorflow": "must be one of torch",
    "mode.checkpoint_iteration=500": TAKEN,
    "mode.logging_iteration=1": TAKEN,
    "mode.name=train": TAKEN,
    "mode.no_summary_images=False": TAKEN,
    "mode.optimizer.gradient_accumulation=1": TAKEN,
    "mode.optimizer.learning_rate=0.0003": TAKEN,
    "mode.optimizer.loss_balance_scheme=light": "is task.loss_balance_scheme here",
    "mode.optimizer.name=adam": TAKEN,
    "mode.summary_iteration=1": TAKEN,
    "mode.weights_location=": TAKEN,
    "network.batch_norm=True": "is network.normalization=batch or none here",
    "network.bias=True": TAKEN,
    "network.block_concat=False": TAKEN,
    "network.blocks_deepest_layer=5": TAKEN,
    "network.blocks_final=5": TAKEN,
    "network.blocks_per_layer=2": TAKEN,
    "network.bottleneck_deepest=256": TAKEN,
    "network.connections=concat": TAKEN,
    "network.conv_mode=2D": "is network=uresnet (2D) or network=uresnet3d (3D) here",
    "network.data_format=channels_last": "is framework.channels_last=true or false here",
    "network.downsampling=max_pooling": TAKEN,
    "network.filter_size_deepest=5": TAKEN,
    "network.growth_rate=1": "is network.growth_rate=additive here",
    "network.n_initial_filters=16": TAKEN,
    "network.name=uresnet": "is network=NAME here",
    "network.network_depth=6": "is network.depth here",
    "network.residual=True": TAKEN,
    "network.upsampling=interpolation": TAKEN,
    "network.weight_decay=0.0": "is mode.optimizer.weight_decay here",
    "run.aux_iterations=10": TAKEN,
    "run.aux_minibatch_size=16": TAKEN,
    "run.compute_mode=GPU": TAKEN,
    "run.distributed=False": TAKEN,
    "run.id=test": TAKEN,
    "run.iterations=50": TAKEN,
    "run.minibatch_size=16": TAKEN,
    "run.output_dir=output/tensorflow/uresnet/test/": "is output_dir here",
    "run.precision=float32": TAKEN,
    "run.profile=False": TAKEN,
}
# other keys and values of CosmicTagger, of its versions since
OTHERS = {
    "data=real": "is data=lartpc data.file=... here",
    "data=synthetic": "is data=lartpc_simulated here",
    "data.img_transform=True": TAKEN,
    "data.seed=0": "is framework.seed here",
    "framework=tensorflow": "is not offered",
    "framework.distributed_mode=DistributedMode.DDP": TAKEN,
    "framework.seed=7": TAKEN,
    "framework.sparse=True": "is network=uresnet_sparse or network=uresnet3d_sparse here",
    "mode.optimizer.name=OptimizerKind.Adam": TAKEN,
    "mode.quantization_aware=False": "is not offered",
    "network.connections=Connection.concat": TAKEN,
    "network.downsampling=DownSampling.max_pooling": TAKEN,
    "network.growth_rate=GrowthRate.additive": TAKEN,
    "network.normalization=Norm.batch": TAKEN,
    "run.broadcast_buffers=True": "is not needed",
    "run.compute_mode=ComputeMode.DPCPP": "is run.compute_mode=xpu here",
    "run.horovod_num_groups=0": "is not needed",
    "run.precision=float16": "is run.precision=mixed here",
    "run.run_length=3": "is run.iterations, which counts optimizer steps, here",
    "run.saver=True": "is not needed",
    "task.loss_balance_scheme=LossBalanceScheme.focal": TAKEN,
    "--aux-file=val.h5": "is data.aux_file=FILE here",
    "--config-name=SCC_21": "is network=scc21 here",
    "--framework": "is not needed",
    "downsample_images=1": "is data.downsample here",
}


def answer(*overrides: str) -> Outcome:
    """Of a command line whose file is not there: the first thing that is read."""
    return airshower("mode=train", "network=uresnet", "data=lartpc", "data.file=nowhere.h5", *overrides)


@pytest.mark.parametrize(("word", "says"), [*PRINTED.items(), *OTHERS.items()])
def test_a_word_of_cosmictagger_is_taken_or_answered(word: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # machines differ, and other tests have threads of their own
    monkeypatch.setattr("airshower.runtime.device.choose_device", lambda *_: "cpu")
    monkeypatch.setattr("airshower.runtime.device.prepare_machine", lambda *_: None)
    outcome = answer(word)
    assert outcome.code == 2
    assert len(outcome.err.splitlines()) == 1
    if says == TAKEN:
        assert outcome.err.endswith("there is no such file\n")
    else:
        key = word.partition("=")[0]
        assert outcome.err.startswith(f"airshower: {key}")
        assert says in outcome.err


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("BatchSize=64", "is run.minibatch_size here"),
        ("network.CNNBlock=ResNet", "is network.block here"),
        ("network.BatchNormDecay=0.95", "is network.batch_norm_momentum, which is 1 - decay, here"),
        ("data.NumParallelCalls=12", "is framework.reading_threads here"),
        ("+data.CutCondition=x", "is data.cuts here"),
    ],
)
def test_a_word_of_deep_learning_cta_is_answered(word: str, says: str) -> None:
    outcome = airshower("mode=train", "network=cta_stereo_hex", word)
    assert (outcome.code, outcome.err) == (2, f"airshower: {word.removeprefix('+').partition('=')[0]}: {says}\n")


@pytest.mark.parametrize(
    ("value", "allowed"),
    [("FeatureMap", "feature_map"), ("Vector", "vector"), ("feature_map", "feature_map"), ("VECTOR", "vector")],
)
def test_choices_are_known_however_they_are_spelt(value: str, allowed: str) -> None:
    assert fields._chosen(value, ("vector", "feature_map"), "network.combine") == allowed


def test_a_yaml_is_answered_as_a_command_line_is(tmp_path) -> None:
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "mine.yaml").write_text(
        "# @package _global_\ndefaults: [uresnet, _self_]\nnetwork: {network_depth: 3}\n"
    )
    outcome = airshower("--config-dir", str(tmp_path), *TINY, "network=mine")
    assert (outcome.code, outcome.err) == (2, "airshower: network.network_depth: is network.depth here\n")


@pytest.mark.parametrize("path", renamed.TARGETS)
def test_a_class_that_has_moved_is_named_with_its_new_path(path: str) -> None:
    section = {"networks": "network", "tasks": "task", "detectors": "data"}[path.split(".")[1]]
    with pytest.raises(UserError, match=rf"^{section}._target_={path}: is (\S+) here$") as error:
        build.target(OmegaConf.create({"_target_": path}), section)
    build.target(OmegaConf.create({"_target_": str(error.value).split()[2]}), section)
