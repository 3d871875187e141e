"""One folder per environment family; every id is declared here, as strings."""

from genenvs.core.registry import Declaration, declare

_ADADIFF = "AdaDiff (Zhang et al., 2023)"

for _suffix, _sampler, _name in (("", "ddim", "DDIM"), ("DPM", "dpmpp_2m", "DPM-Solver++(2M)")):
    declare(
        Declaration(
            id=f"genenvs/DenoiseSchedule{_suffix}-v0",
            task="genenvs.tasks.denoise_schedule.task:DenoiseSchedule",
            arguments={"generator": "digits", "sampler": _sampler, "horizon": 50},
            score="objective",
            text=f"Jump along a {_name} sampler's noise schedule, step by step",
            source=_ADADIFF,
            cheats={
                "finish at once": "genenvs.tasks.denoise_schedule.cheats:finish_at_once",
                "stall": "genenvs.tasks.denoise_schedule.cheats:stall",
            },
        )
    )
    declare(
        Declaration(
            id=f"genenvs/DenoiseBudget{_suffix}-v0",
            task="genenvs.tasks.denoise_schedule.budget:DenoiseBudget",
            arguments={"generator": "digits", "sampler": _sampler, "horizon": 1},
            score="objective",
            text=f"Choose a whole step budget for {_name} from the condition alone",
            source=_ADADIFF,
            cheats={
                "always one": "genenvs.tasks.denoise_schedule.cheats:smallest",
                "always fifty": "genenvs.tasks.denoise_schedule.cheats:largest",
            },
        )
    )

for _suffix, _moves, _targets, _text in (
    ("", 6, "mixed", "Draw a shape cell by cell, in a single stroke"),
    ("26", 26, "union", "Warm-up: draw a union of boxes in a single stroke, diagonals allowed"),
):
    declare(
        Declaration(
            id=f"genenvs/VoxelStroke{_suffix}-v0",
            task="genenvs.tasks.voxel_stroke.task:VoxelStroke",
            arguments={"moves": _moves, "targets": _targets, "horizon": 1_024},
            score="clean_coverage",
            text=_text,
            source="Akizuki et al. (2020)",
            cheats={
                "straight on": "genenvs.tasks.voxel_stroke.cheats:straight_on",
                "hover": "genenvs.tasks.voxel_stroke.cheats:hover",
            },
        )
    )

declare(
    Declaration(
        id="genenvs/BrickBuild-v0",
        task="genenvs.tasks.brick_build.task:BrickBuild",
        arguments={"targets": "mixed", "horizon": 256},
        score="iou",
        text="Build a shape from bricks, layer by layer",
        source="Akizuki et al., CAADRIA 2020; BrickGPT (Pun et al., 2025)",
        cheats={
            "stop at once": "genenvs.tasks.brick_build.cheats:stop_at_once",
            "stall": "genenvs.tasks.brick_build.cheats:stall",
            "rise": "genenvs.tasks.brick_build.cheats:rise",
            "largest": "genenvs.tasks.brick_build.cheats:largest",
        },
    )
)

for _suffix, _observe, _text in (
    ("", "voxels", "Model a shape by moving, resizing and deleting cuboids"),
    ("Depth", "depth", "The same from a depth picture of the shape"),
):
    declare(
        Declaration(
            id=f"genenvs/PrimitiveModel{_suffix}-v0",
            task="genenvs.tasks.primitive_model.task:PrimitiveModel",
            arguments={"targets": "mixed", "observe": _observe, "horizon": 300},
            score="iou",
            text=_text,
            source="Prim-Agent (Lin et al., ECCV 2020)",
            cheats={
                "stall": "genenvs.tasks.primitive_model.cheats:stall",
                "delete all": "genenvs.tasks.primitive_model.cheats:delete_all",
                "delete misses": "genenvs.tasks.primitive_model.cheats:delete_misses",
            },
        )
    )

declare(
    Declaration(
        id="genenvs/EdgeLoop-v0",
        task="genenvs.tasks.edge_loop.task:EdgeLoop",
        arguments={"targets": "mixed", "initial": "fit", "horizon": 100},
        score="iou",
        text="Move edge loops on cuboids until the solid follows a shape",
        source="Mesh-Agent (Lin et al., ECCV 2020)",
        cheats={
            "stay": "genenvs.tasks.edge_loop.cheats:stay",
            "grow": "genenvs.tasks.edge_loop.cheats:grow",
            "shrink": "genenvs.tasks.edge_loop.cheats:shrink",
        },
    )
)

declare(
    Declaration(
        id="genenvs/MotionNav-v0",
        task="genenvs.tasks.motion_nav.task:MotionNav",
        arguments={"rooms": "furnished", "generator": "cvae", "horizon": 48},
        score="quality",
        text="Walk through a furnished room to a goal, by motion primitives",
        source="DIMOS (Zhao et al., ICCV 2023)",
        cheats={
            "mean walk": "genenvs.tasks.motion_nav.cheats:mean_walk",
            "straight": "genenvs.tasks.motion_nav.cheats:straight",
            "hover": "genenvs.tasks.motion_nav.cheats:hover",
            "stand": "genenvs.tasks.motion_nav.cheats:stand",
        },
    )
)

for _name, _folder, _horizon, _text, _cheats in (
    (
        "RoomLayout", "room_layout", 32, "Furnish a room: choose a thing, then its place",
        ("finish_at_once", "stall", "first_place", "same_corner"),
    ),
    (
        "RoomSelect", "room_select", 20, "Furnish a room in the right order",
        ("finish_at_once", "stall", "small_first"),
    ),
):  # fmt: skip
    declare(
        Declaration(
            id=f"genenvs/{_name}-v0",
            task=f"genenvs.tasks.{_folder}.task:{_name}",
            arguments={"rooms": "mixed", "horizon": _horizon},
            score="quality",
            text=_text,
            source="RLSS (Ostonov et al., WACV 2022)",
            cheats={
                _cheat.replace("_", " "): f"genenvs.tasks.{_folder}.cheats:{_cheat}"
                for _cheat in _cheats
            },
        )
    )

declare(
    Declaration(
        id="genenvs/Dance-v0",
        task="genenvs.tasks.dance.task:Dance",
        arguments={"music": "rhythms", "reward": "balanced", "codes": "shipped", "horizon": 60},
        score="f1",
        text="Dance to music by choosing what each half of a body does next",
        source="Bailando (Li et al., CVPR 2022)",
        cheats={
            "always": "genenvs.tasks.dance.cheats:always",
            "never": "genenvs.tasks.dance.cheats:never",
            "code prior": "genenvs.tasks.dance.cheats:prior",
        },
    )
)
_RLAVE = "RLAVE (Hu et al., MM 2023)"
_CHEATS = (
    "finish_at_once",
    "stall",
    "shortest_cuts",
    "longest_cuts",
    "never_cut",
    "greedy",
    "long_takes",
    "stretched",
)
declare(
    Declaration(
        id="genenvs/ClipEdit-v0",
        task="genenvs.tasks.clip_edit.task:ClipEdit",
        arguments={"horizon": 48},
        score="agreement",
        text="Cut a film from raw footage in the style of a hidden editor",
        source=_RLAVE,
        cheats={
            name.replace("_", " "): f"genenvs.tasks.clip_edit.cheats:{name}" for name in _CHEATS
        },
    )
)
declare(
    Declaration(
        id="genenvs/ShotAttributes-v0",
        task="genenvs.tasks.shot_attributes.task:ShotAttributes",
        arguments={"teacher_forced": False, "horizon": 12},
        score="accuracy",
        text="Predict the attributes of the shots that a hidden editor shows next",
        source=_RLAVE,
        cheats={
            name.replace("_", " "): f"genenvs.tasks.shot_attributes.cheats:{name}"
            for name in ("constant", "repeat", "most_frequent")
        },
    )
)

_DDPO = "DDPO (Black et al., ICLR 2024)"
for _name, _folder, _generator, _text, _source, _tricks in (
    ("Latent", "latent", "sprites", "Denoise pictures of a prompt: the agent is the denoiser",
     _DDPO, ("grey", "keep_noise")),
    ("LatentFlow", "latent", "sprites-flow", "The same for a rectified flow",
     "Flow-GRPO (Liu et al., 2025)", ("grey", "keep_noise")),
    ("Noise", "noise", "sprites", "Choose the noise of a frozen denoiser's sampler",
     "DSRL (Wagenmaker et al., 2025)", ("no_noise", "same_corner")),
    ("Guidance", "guidance", "sprites", "Steer a frozen sampler: guidance, noise, emphasis",
     "Classifier-free guidance (Ho and Salimans, 2022)",
     ("unguided", "most_guided", "ignore_prompt")),
):  # fmt: skip
    declare(
        Declaration(
            id=f"genenvs/Denoise{_name}-v0",
            task=f"genenvs.tasks.denoise.{_folder}:Denoise{_folder.title()}",
            arguments={"generator": _generator, "horizon": 10},
            score="correct",
            text=_text,
            source=_source,
            cheats={
                each.replace("_", " "): f"genenvs.tasks.denoise.cheats:{each}" for each in _tricks
            },
        )
    )
