"""The names that a space file may use for what it chooses from registries, and the parameters of options.

The registries of the floors above have all this too, but they load torch, which takes seconds. A typo is answered from
here. ``tests/spec/test_spec_names.py`` holds both against each other.
"""

from __future__ import annotations

from collections.abc import Mapping

TASKS: Mapping[str, str] = {
    "airline": "forecast",
    "breast-cancer": "tabular",
    "diabetes": "tabular",
    "digits": "digits",
    "digits-series": "series",
    "docstrings": "text",
    "fashion-mnist": "fashion-mnist",
    "wine": "tabular",
}
"""The built-in tasks, each with the shipped space that is searched for it where no other is named."""

SAMPLERS = ("tpe", "random", "grid", "cmaes", "gp", "nsga2", "qmc")
PRUNERS = ("auto", "median", "asha", "hyperband", "dominated", "none")

SCHEDULES = ("schedule", "dropout_schedule", "weight_decay_schedule")
"""Keys whose value is a schedule: of the learning rate, of every dropout and of the weight decay."""

_SCHEDULES: Mapping[str, tuple[str, ...]] = {
    "constant": ("warmup_epochs",),
    "coslog4": (),
    "cosine": ("warmup_epochs", "final"),
    "one_cycle": ("peak", "div", "final_div"),
    "wsd": ("warmup", "decay", "shape"),
}

FITTED = ("hist_gradient_boosting", "linear", "minirocket", "nearest_neighbours", "random_forest", "svm")
"""The architectures of :data:`OPTIONS` that are fitted by scikit-learn: no optimiser has a part in it."""

OF_FITTED = ("architecture", "class_weights", "loss")
"""The keys of a space that do something where a model is fitted, not trained by steps down a gradient."""

STAGES = ("stages", "width", "width_multiplier", "blocks", "dropout", "stochastic_depth")
"""The parameters that families of stages have in common."""

TRANSFORMER = (
    "depth",
    "heads",
    "head_width",
    "expansion",
    "positions",
    "pooling",
    "activation",
    "dropout",
    "stochastic_depth",
)
"""The parameters that transformers have in common."""

RECURRENT = ("depth", "width", "bidirectional", "pooling", "patch", "dropout")
"""The parameters that recurrent families have in common."""

OPTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "architecture": {
        "cnn": (
            "stages",
            "width",
            "width_multiplier",
            "blocks",
            "kernel",
            "pooling",
            "activation",
            "norm",
            "dropout",
            "residual",
            "global_pooling",
            "head",
        ),
        "convnext": (
            *STAGES,
            "patch",
            "kernel",
            "expansion",
            "layer_scale",
            "activation",
        ),
        "dlinear": ("kernel", "base", "dropout"),
        "embedding_bag": ("width", "depth", "bigrams", "activation", "dropout"),
        "ft_transformer": (
            "depth",
            "heads",
            "head_width",
            "expansion",
            "activation",
            "attention_dropout",
            "ffn_dropout",
            "dropout",
        ),
        "gru": RECURRENT,
        "hist_gradient_boosting": (
            "learning_rate",
            "max_iter",
            "max_leaf_nodes",
            "min_samples_leaf",
            "l2_regularization",
            "max_features",
        ),
        "inception_time": ("depth", "width", "kernel", "residual", "patch", "dropout"),
        "linear": ("c",),
        "lite": ("depth", "width", "kernel", "filters", "patch", "dropout"),
        "lstm": RECURRENT,
        "minirocket": ("features",),
        "mlp": ("depth", "width", "shape", "activation", "norm", "dropout", "residual", "numeric"),
        "mobilenet": (
            *STAGES,
            "expansion",
            "kernel",
            "squeeze_excite",
            "features",
            "stem",
            "activation",
            "norm",
        ),
        "nearest_neighbours": ("n_neighbors", "weights"),
        "nhits": ("stacks", "depth", "width", "pooling", "base", "activation", "dropout"),
        "random_forest": ("n_estimators", "max_features", "min_samples_leaf", "max_depth"),
        "resnet": (
            *STAGES,
            "block",
            "order",
            "stem",
            "activation",
            "norm",
        ),
        "realmlp": ("depth", "width", "activation", "dropout", "numeric", "scale_rate"),
        "rnn": (*RECURRENT, "activation"),
        "speednet": (
            "width",
            "width_multiplier",
            "depth",
            "patch",
            "kernel",
            "scale",
            "norm_momentum",
            "norm_bias_rate",
            "flip_average",
            "shift_average",
        ),
        "svm": ("c", "gamma", "epsilon"),
        "tabm": ("members", "kind", "depth", "width", "activation", "dropout", "numeric"),
        "tcn": ("depth", "width", "kernel", "pooling", "patch", "activation", "norm", "dropout"),
        "text_cnn": ("width", "filters", "kernel", "activation", "dropout"),
        "transformer": (*TRANSFORMER, "patch"),
        "vit": (*TRANSFORMER, "patch", "registers"),
    },
    "optimizer": {
        "adagrad": ("lr", "lr_decay", "eps", "weight_decay"),
        "adam": ("lr", "beta1", "beta2", "eps", "weight_decay"),
        "adamw": ("lr", "beta1", "beta2", "eps", "weight_decay"),
        "muon": ("lr", "convolutions", "momentum", "nesterov", "beta1", "beta2", "eps", "weight_decay"),
        "nadam": ("lr", "beta1", "beta2", "eps", "momentum_decay", "weight_decay"),
        "radam": ("lr", "beta1", "beta2", "eps", "weight_decay"),
        "rmsprop": ("lr", "alpha", "momentum", "eps", "weight_decay", "centered"),
        "sgd": ("lr", "momentum", "nesterov", "weight_decay"),
    },
    **dict.fromkeys(SCHEDULES, _SCHEDULES),
}
"""By key of ``space:`` its options, and the parameters of each."""
