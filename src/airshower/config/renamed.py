"""Words of CosmicTagger, of deep-learning-CTA and of older versions, and what does the same here."""

RENAMED = {
    # CosmicTagger
    "network.network_depth": "network.depth",
    "network.weight_decay": "mode.optimizer.weight_decay",
    "network.data_format": "framework.channels_last=true or false",
    "network.batch_norm": "network.normalization=batch or none",
    "network.conv_mode": "network=uresnet (2D) or network=uresnet3d (3D)",
    "network.name": "network=NAME",
    "network.vertex": "task=neutrino",
    "network.vertex.depth": "network.vertex_depth",
    "network.classification": "task=neutrino",
    "mode.optimizer.loss_balance_scheme": "task.loss_balance_scheme",
    "run.output_dir": "output_dir",
    "run.run_length": "run.iterations, which counts optimizer steps,",
    "data.data_format": "framework.channels_last=true or false",
    "data.synthetic": "data=lartpc_simulated (true) or data=lartpc (false)",
    "data.name": "data=lartpc or data=lartpc_simulated",
    "data.seed": "framework.seed",
    "data=real": "data=lartpc data.file=...",
    "data=synthetic": "data=lartpc_simulated",
    "downsample_images": "data.downsample",
    "framework.sparse": "network=uresnet_sparse or network=uresnet3d_sparse",
    "--aux-file": "data.aux_file=FILE",
    "--file": "data.file=FILE",
    "--config-name=SCC_21": "network=scc21",
    "--config-name=a21": "network=a21",
    "--config-name=a21-deterministic": "network=a21 framework.deterministic=true",
    "--config-name=polaris": "network=polaris",
    "--config-name=sn-at": "network=uresnet3d network.depth=7 data.downsample=0 run.distributed=true",
    # deep-learning-CTA, whose keys have no section in common with the ones here
    "FileList": "data.file",
    "SortTelescopesByTrigger": "network.order",
    "BatchSize": "run.minibatch_size",
    "NumTrainingEpochsPerEvaluation": "mode.training_set_epochs, and mode.validation_iteration in steps,",
    "NumBatchesPerValidationEvaluation": "run.aux_iterations",
    "NumParallelCalls": "framework.reading_threads",
    "ValidationSplit": "data.validation_fraction",
    "CutCondition": "data.cuts",
    "ModelType": "network=cta_stereo_alexnet, or another of network=cta_...,",
    "CNNBlock": "network.block",
    "TelescopeCombination": "network.combine",
    "NetworkHead": "network.head",
    "PretrainedWeights": "mode.weights_location",
    "Optimizer": "mode.optimizer.name",
    "BaseLearningRate": "mode.optimizer.learning_rate",
    "ScaleLearningRate": "task.scale_learning_rate",
    "BatchNormDecay": "network.batch_norm_momentum, which is 1 - decay,",
    "ClipGradientNorm": "mode.optimizer.clip_norm",
    "ModelDirectory": "output_dir",
}
"""Keys, and `group=choice`, by their new name. One without a section is found in any section."""

NOT_NEEDED = {
    # CosmicTagger
    "mode.quantization_aware": "is not offered; run.precision=bfloat16 is what makes arithmetic cheaper here",
    "run.saver": "is not needed, TensorBoard's files are always written",
    "run.horovod_num_groups": "is not needed, ranks communicate by torch.distributed",
    "run.broadcast_buffers": "is not needed, running statistics are averaged over ranks after each step",
    "run.run_units": "is not needed, run.iterations counts optimizer steps",
    "framework.environment_variables.TF_XLA_FLAGS": (
        "is for TensorFlow; variables for others are given as +framework.environment_variables.NAME=VALUE"
    ),
    "framework=tensorflow": "is not offered, all networks are in torch; leave it out",
    "--framework": "is not needed, all networks are in torch; a sparse one is network=uresnet_sparse",
    # deep-learning-CTA
    "Format": "is not needed, what is in a file says its format",
    "NumExamplesPerTrainingEpoch": "is not needed, an epoch reads each event once; run.iterations counts steps",
    "NumBatchesPerTrainingEpoch": "is not needed, an epoch reads each event once; run.iterations counts steps",
    "NumBatchesPerTrainingEvaluation": "is not needed, mode.training_set_epochs evaluates all training events",
    "FreezeWeights": "is not offered, all weights are trained; mode.weights_location starts from given ones",
}
"""Keys and choices that have no counterpart, and why."""

VALUES = {
    "network.growth_rate": {"0": "multiplicative", "1": "additive"},
    "run.compute_mode": {"cuda": "gpu", "dpcpp": "xpu"},
    "run.precision": {"float16": "mixed"},
}
"""Values of keys that are here, too."""

TARGETS = {
    "airshower.detectors.cta.source.Iact": "airshower.detectors.cta.source.Cta",
    "airshower.networks.iact.IactNetwork": "airshower.networks.telescopes.network.TelescopeNetwork",
    "airshower.networks.map_flow.MapFlow": "airshower.networks.tanks.map_flow.MapFlow",
    "airshower.networks.map_gan.MapGan": "airshower.networks.tanks.map_gan.MapGan",
    "airshower.networks.parameter_flow.ParameterFlow": "airshower.networks.tanks.parameter_flow.ParameterFlow",
    "airshower.networks.parameter_gan.ParameterGan": "airshower.networks.tanks.parameter_gan.ParameterGan",
    "airshower.networks.pixelcnn.PixelCnn": "airshower.networks.pixelcnn.network.PixelCnn",
    "airshower.networks.uresnet.UResNet": "airshower.networks.uresnet.network.UResNet",
    "airshower.networks.uresnet.UResNet3d": "airshower.networks.uresnet.network.UResNet3d",
    "airshower.networks.uresnet.UResNetSparse": "airshower.networks.uresnet.network.UResNetSparse",
    "airshower.networks.uresnet.UResNetSparse3d": "airshower.networks.uresnet.network.UResNetSparse3d",
    "airshower.tasks.adversarial.Adversarial": "airshower.tasks.generation.adversarial.Adversarial",
    "airshower.tasks.flow_matching.FlowMatching": "airshower.tasks.generation.flow_matching.FlowMatching",
    "airshower.tasks.likelihood.Likelihood": "airshower.tasks.generation.likelihood.Likelihood",
    "airshower.tasks.reconstruction.Reconstruction": "airshower.tasks.reconstruction.task.Reconstruction",
    "airshower.tasks.segmentation.Segmentation": "airshower.tasks.segmentation.task.Segmentation",
}
"""Classes that `_target_` named in older versions, by the path that they have now."""


def advice(word: str) -> str | None:
    """What to write for a key, `group=choice` or option (as `--file`) that is not here; None if it is not known."""
    for name in (word, word.rpartition(".")[2]):
        if name in RENAMED:
            return f"{word}: is {RENAMED[name]} here"
        if name in NOT_NEEDED:
            return f"{word}: {NOT_NEEDED[name]}"
    return None
