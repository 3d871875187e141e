"""The batch face of a task: a native Gymnasium `VectorEnv`, numpy or torch."""

import multiprocessing
import os
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from torch import Tensor

from genenvs.core import info as infos
from genenvs.core.actions import ActionReader, flat_actions
from genenvs.core.ahead import Ahead
from genenvs.core.info import Final, Step
from genenvs.core.instances import Episodes, branch_key, is_whole
from genenvs.core.loading import COMMON, VECTOR, load_task, task_arguments
from genenvs.core.options import (
    OPTIONS,
    check_noise,
    read_autoreset_mode,
    read_episode,
    read_group,
    read_mask,
    read_options,
    read_seeds,
    rows_of,
)
from genenvs.core.rewards import merge_weights, weighted_sum
from genenvs.core.task import Observation, State, Task

FREE = ("step", "end")  # kinds of metrics that a step carries
Returned = TypeVar("Returned", Tensor, Tensor | None, dict[str, Tensor], Observation)


class TaskVectorEnv(gym.vector.VectorEnv[Any, Any, Any]):
    """`num_envs` episodes of one task, stepped together.

    Row *i* of `reset(seed=s)` is the single environment of `reset(seed=s + i)`, whatever the batch
    size; a `reset` without a seed and an autoreset go on to the next episode of that row's own
    sequence.

    `reset(options=...)` takes `reset_mask` (bool [B], numpy or torch), `episode` (an int or [B]:
    where in its sequence each row starts), and groups: `instances` (ids within the split),
    `repeats` (rows for each id, in order) and `noise` (`fresh` or `shared` among them).

    `info` holds, in Gymnasium's layout (every key `k` with a mask `_k`), `terms`, `metrics`,
    `seed`, `episode_index` and, where the task has one, `action_mask`; under SAME_STEP also
    `final_obs` and `final_info` of the rows that ended.
    """

    metadata: dict[str, Any] = {
        "render_modes": ["rgb_array"],
        "render_fps": 4,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        task: str | type[Task],
        *,
        num_envs: int = 1,
        horizon: int,
        split: str = "train",
        instances: int | None = None,
        reward_weights: Mapping[str, float] | None = None,
        device: str = "cpu",
        dtype: str = "float32",
        render_mode: str | None = None,
        output: Literal["numpy", "torch"] = "numpy",
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        validate: bool | None = None,
        keep_final: bool = False,
        max_episode_steps: int | None = None,
        **arguments: Any,
    ) -> None:
        """Make the task and a batch of it.

        Args:
            task: `module:Class` or the class.
            num_envs: rows of the batch.
            horizon: steps after which an episode ends.
            split: `train`, `validation` or `test`.
            instances: restrict the split to its first N instances.
            reward_weights: overrides of the terms' default weights.
            device: where everything lives and runs.
            dtype: of frozen networks.
            render_mode: None or `rgb_array`.
            output: `numpy`, or `torch`: tensors on the device, never copied to the host.
            autoreset_mode: a Gymnasium `AutoresetMode` or its name or value.
            validate: look at the values of actions given as tensors, which costs a
                synchronisation; default: on the CPU. Without it, values outside the action space
                are brought to its nearest bound, and NaN to 0 or the bound nearest to it.
            keep_final: add the ended rows' state to `info["final_state"]`.
            max_episode_steps: an outer cap, as Gymnasium's `TimeLimit`: what it cuts off is paid no
                terminal terms and has no metrics of kind `end`.
            **arguments: the task's own.

        Raises:
            ValueError: an argument is wrong; says what was expected and what came.
            TypeError: unknown keyword; lists the known ones.
        """
        kept = {k: v for k, v in locals().items() if k not in ("self", "arguments", "__class__")}
        self._arguments = kept | arguments
        if multiprocessing.parent_process() is not None and torch.get_num_threads() > 1:
            # A forked child hangs when it starts threads after its parent ran a threaded kernel.
            torch.set_num_threads(1)
        kind = load_task(task)
        known = task_arguments(kind)
        if unknown := sorted(set(arguments) - set(known)):
            # In Python's own words: TorchRL looks for them when it tries arguments of other suites.
            raise TypeError(
                f"{kind.__name__} got an unexpected keyword argument"
                f" {', '.join(map(repr, unknown))}; known are: its own"
                f" {', '.join(known) or '(none)'}; of every task {', '.join(COMMON)};"
                f" of the vector face {', '.join(VECTOR)}"
            )
        if not is_whole(num_envs):
            raise ValueError(f"num_envs must be an integer >= 1; got {num_envs!r}")
        if output not in ("numpy", "torch"):
            raise ValueError(f'output must be "numpy" or "torch"; got {output!r}')
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f'render_mode must be None or "rgb_array"; got {render_mode!r}')
        if max_episode_steps is not None and not is_whole(max_episode_steps):
            raise ValueError(
                f"max_episode_steps must be None or an integer >= 1; got {max_episode_steps!r}"
            )
        if not isinstance(validate, bool | np.bool_ | None):
            raise ValueError(f"validate must be True, False or None; got {validate!r}")
        if not isinstance(keep_final, bool | np.bool_):
            raise ValueError(f"keep_final must be True or False; got {keep_final!r}")
        self.autoreset_mode = read_autoreset_mode(autoreset_mode)
        self.task = kind(horizon=horizon, split=split, device=device, dtype=dtype, **arguments)
        self.device = self.task.device
        self.weights = merge_weights(kind.terms, reward_weights)
        self.episodes = Episodes(split, self.task.num_instances, instances)
        self.output, self.render_mode = output, render_mode
        self.keep_final, self.max_episode_steps = keep_final, max_episode_steps
        self.validate = self.device.type == "cpu" if validate is None else validate
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = self.task.observation_space
        self.single_action_space = self.task.action_space
        self._end_metrics = frozenset(k for k, m in self.task.metrics.items() if m.when == "end")
        self._has_network = kind.prepare is not Task.prepare
        self._allocate(int(num_envs))

    def _allocate(self, num_envs: int) -> None:
        """Everything that depends on the number of rows, before the first reset."""
        self.num_envs = num_envs
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._reader = ActionReader(self.single_action_space, num_envs, self.device)
        self._state: State | None = None
        self._ahead = Ahead(num_envs, self._drawn)
        self._seed = torch.full((num_envs,), -1, device=self.device)  # -1: never seeded
        self._stream = torch.zeros(num_envs, dtype=torch.int64, device=self.device)
        self._episode = torch.zeros(num_envs, dtype=torch.int64, device=self.device)
        self._elapsed = torch.zeros(num_envs, dtype=torch.int64, device=self.device)
        self._ended = torch.zeros(num_envs, dtype=torch.bool, device=self.device)
        self._ended_rows: Tensor | None = None  # the rows of `_ended`, known without looking

    # --- Gymnasium's interface ---

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Any = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start episodes; see the class for `options`.

        Args:
            seed: an int (row i gets seed + i), one per row, or None: the rows go on to the next
                episode of their own sequence.
            options: dict, left as it is.

        Returns:
            Observations and info.

        Raises:
            ValueError: a seed or an option has the wrong shape or value.
            TypeError: a mask is not boolean, or the options are no dict.
        """
        step = self.reset_tensors(seed, options)
        return infos.observation(step, self.output), infos.collect(step, self.output)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take one action in every row.

        Args:
            actions: [B, ...]; numpy, torch or Python. Values of Box are clipped to its bounds.

        Returns:
            Observations, rewards float32 [B] (float64 in numpy, as Gymnasium's own), terminated
            and truncated bool [B], info.

        Raises:
            ValueError: an action is outside the action space; nothing has changed. With
                `validate=False` (the default on CUDA) the values of tensors are not looked at but
                brought into the bounds.
            RuntimeError: nothing was reset yet, or, with autoreset disabled, a row has ended.
        """
        step = self.step_tensors(actions)
        reward, *ends = (infos.convert(x, self.output) for x in
                         (step.reward, step.terminated, step.truncated))  # fmt: skip
        if self.output == "numpy":
            reward = reward.astype(np.float64)
        return infos.observation(step, self.output), reward, *ends, infos.collect(step, self.output)

    def render(self) -> tuple[np.ndarray, ...] | None:
        """A picture uint8 [H, W, 3] of every row; None without a render mode."""
        if self.render_mode is None:
            gym.logger.warn('render() does nothing: make the environment with "rgb_array"')
            return None
        state = self.state
        return tuple(self.task.render(state, i) for i in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        """Let go of the state; weights stay in the process-wide cache."""
        self._state = None
        self._ahead.forget()

    # --- what Gymnasium lacks ---

    @property
    def state(self) -> State:
        """The state of all rows; the next step may write into it.

        Raises:
            RuntimeError: before the first reset.
        """
        if self._state is None:
            raise RuntimeError("call reset() first")
        return self._state

    @property
    def episodes_ahead(self) -> int:
        """How many episodes of a row are drawn at a time; 0: each when it begins."""
        return self._ahead.depth if self.device.type == "cpu" else 0

    def action_masks(self) -> Tensor:
        """Mask bool [B, n] in sb3-contrib's flat layout; all True where the task has no mask.

        Raises:
            TypeError: the action space is continuous.
        """
        mask = self._mask(self.state)
        if mask is None:
            size = flat_actions(self.single_action_space)
            mask = torch.ones(self.num_envs, size, dtype=torch.bool, device=self.device)
        return mask

    def reference_action(self) -> Tensor | None:
        """The scripted baseline's action for every row, where the task has one."""
        return self.task.reference_action(self.state)

    def random_action(self) -> Tensor | None:
        """What chance plays in every row, where the task says; None: uniform over legal actions."""
        return self.task.random_action(self.state)

    def artefact(self, index: int) -> Any:
        """What row `index` has made so far, as a user would keep it."""
        return self.task.artefact(self.state, index)

    def branch(self, k: int, noise: Literal["fresh", "shared"] = "fresh") -> "TaskVectorEnv":
        """A new environment of `num_envs * k` rows; row i * k + j continues row i.

        Args:
            k: branches of every row, at least 1.
            noise: `fresh` gives each branch its own noise from here on, `shared` repeats it.

        Returns:
            An environment with autoreset disabled that shares the frozen models.
        """
        if not is_whole(k):
            raise ValueError(f"k must be an integer >= 1; got {k!r}")
        k = int(k)
        check_noise(noise)
        changes = {"num_envs": self.num_envs * k, "autoreset_mode": AutoresetMode.DISABLED}
        other = object.__new__(type(self))  # not built anew: the task, and its models, are shared
        other.__dict__.update(self.__dict__, _arguments=self._arguments | changes)
        other.autoreset_mode = AutoresetMode.DISABLED
        other.metadata = {**self.metadata, "autoreset_mode": AutoresetMode.DISABLED}
        other._allocate(self.num_envs * k)
        state = self.state.repeat(k)
        if noise == "fresh":
            branch = torch.arange(k, device=self.device).repeat(self.num_envs)
            state = state.replace(key=branch_key(state.key, branch))
        other._state = state
        for name in ("_seed", "_stream", "_episode", "_elapsed", "_ended"):
            setattr(other, name, getattr(self, name).repeat_interleave(k))
        other._ended_rows = rows_of(other._ended)
        return other

    def get_state(self) -> dict[str, Tensor]:
        """Everything the next step depends on, as tensors that no later step touches."""
        own = {
            "env.seed": self._seed,
            "env.stream": self._stream,
            "env.episode": self._episode,
            "env.elapsed": self._elapsed,
            "env.ended": self._ended,
        }
        return {k: v.clone() for k, v in (self.state.tensors() | own).items()}

    def set_state(self, snapshot: Mapping[str, Tensor]) -> None:
        """Go back to what `get_state` returned.

        Raises:
            ValueError: it is of another task or batch size; nothing has changed.
        """
        example = self._template()
        template = example.tensors()
        own = ("seed", "stream", "episode", "elapsed", "ended")
        expected = {*template, *(f"env.{name}" for name in own)}
        if set(snapshot) != expected:
            raise ValueError(
                f"a snapshot of {type(self.task).__name__} has the tensors {sorted(expected)};"
                f" got {sorted(snapshot)}"
            )
        for name, value in snapshot.items():
            like = template.get(name)
            shape = (self.num_envs, *(like.shape[1:] if like is not None else ()))
            if tuple(value.shape) != shape:
                raise ValueError(f"{name} must be {list(shape)}; got {list(value.shape)}")
            if like is not None and value.dtype != like.dtype:
                raise ValueError(f"{name} must be {like.dtype}; got {value.dtype}")
        copies = {k: v.to(self.device, copy=True) for k, v in snapshot.items()}
        self._state = type(example)(**{name: copies[name] for name in template})
        for name in own:
            setattr(self, f"_{name}", copies[f"env.{name}"])
        self._ended_rows = rows_of(self._ended)
        self._ahead.forget()

    def save_state(self, path: str | os.PathLike[str]) -> None:
        """Write `get_state` to a safetensors file, whole or not at all."""
        from safetensors.torch import save_file

        from genenvs.core.files import replacing

        tensors = {k: v.contiguous().cpu() for k, v in self.get_state().items()}
        with replacing(path) as temporary:
            save_file(tensors, temporary, {"task": type(self.task).__name__})

    def load_state(self, path: str | os.PathLike[str]) -> None:
        """Go back to what `save_state` wrote.

        Raises:
            ValueError: the file is damaged, or of another task or batch size.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            snapshot = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is no readable safetensors file: {error}") from error
        self.set_state(snapshot)

    def __getstate__(self) -> dict[str, Any]:
        """Arguments and tensors travel; weights come from the cache."""
        state = self.get_state() if self._state is not None else None
        return {"arguments": self._arguments, "spec": self.spec, "state": state}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        """Rebuild from the arguments."""
        self.__init__(**kept["arguments"])  # type: ignore[misc]
        self.spec = kept["spec"]
        if kept["state"] is not None:
            self.set_state(kept["state"])

    # --- the order of a step ---

    @torch.no_grad()
    def step_tensors(self, actions: Any) -> Step:
        """`step` in tensors: both faces and adapters format what this returns."""
        state, task, mode = self.state, self.task, self.autoreset_mode
        before = self._ended_rows
        ignored = None
        if before is not None:
            if mode is AutoresetMode.DISABLED:
                raise RuntimeError(
                    f"rows {before.tolist()} have ended: autoreset is disabled, reset them with"
                    ' reset(options={"reset_mask": ...}) before the next step'
                )
            ignored = self._ended
        action = self._reader.read(actions, ignored, self.validate)

        after = task.transition(state, action)
        state = after.state
        # Resetting the ended rows writes into the state: what is returned must not be part of it.
        held = _storages(state)
        terms, metrics = _owned(after.terms, held), _owned(after.metrics, held)
        terminated = _owned(after.terminated, held)
        limit = state.step >= task.horizon
        if task.ends == "terminates":
            terminated, truncated = terminated | limit, torch.zeros_like(terminated)
        else:
            truncated = limit & ~terminated
        inner = terminated | truncated  # ended by the task itself
        if self.max_episode_steps is not None:
            self._elapsed = self._elapsed + 1
            truncated = truncated | (self._elapsed >= self.max_episode_steps)
        acted = torch.ones_like(inner)
        if ignored is not None:
            acted = ~ignored
            terminated, truncated, inner = terminated & acted, truncated & acted, inner & acted
        ended = terminated | truncated
        rows = rows_of(ended)  # the one synchronisation with the host
        may_cut = self._has_network and (
            task.ends == "truncates" or self.max_episode_steps is not None
        )

        ending, final = None, None
        if rows is not None:
            ending = state.rows(rows)
            self._settle(ending, rows, inner, terms, metrics)
        self._fill(terms, metrics, ignored)
        same_step = mode is AutoresetMode.SAME_STEP
        if ending is not None and rows is not None and same_step:
            if may_cut and len(cut := (~terminated[rows]).nonzero()[:, 0]):
                ending.put(cut, task.prepare(ending.rows(cut)))
            final = Final(
                _owned(task.observe(ending), _storages(ending)),
                self._seed,
                self._episode,
                task.action_mask(ending),
            )
            self._restart(state, rows)
        elif before is not None:
            self._restart(state, before)
        if self._has_network:
            state = task.prepare(state)
            if ending is not None and rows is not None and not same_step:
                # An ended row keeps its last prediction; one that was cut off gets this one.
                kept = ending.where(terminated[rows], state.rows(rows)) if may_cut else ending
                state.put(rows, kept)
            held = _storages(state)
        elif ending is not None and rows is not None and not same_step:
            state.put(rows, ending)  # what an outcome left in there
        self._state = state
        self._ended_rows = None if same_step else rows
        self._ended = torch.zeros_like(ended) if same_step else ended.clone()  # `ended` is returned
        return Step(
            observation=_owned(task.observe(state), held),
            reward=weighted_sum(self.weights, terms),
            terminated=terminated,
            truncated=truncated,
            seed=self._seed,
            episode=self._episode,
            live=torch.ones_like(ended),
            action_mask=_owned(task.action_mask(state), held),
            terms=terms,
            metrics=metrics,
            end_metrics=self._end_metrics,
            acted=acted,
            ended=ended,
            settled=inner,
            rows=rows,
            final=final,
            final_state=ending if self.keep_final else None,
        )

    @torch.no_grad()
    def reset_tensors(self, seed: Any, options: Any) -> Step:
        """`reset` in tensors."""
        options = read_options(options)
        if unknown := sorted(set(options) - set(OPTIONS), key=str):
            raise ValueError(f"reset knows no option {unknown}; known are {', '.join(OPTIONS)}")
        chosen = read_mask(options.get("reset_mask"), self.num_envs, self.device)
        if self._state is None and chosen is not None:
            raise RuntimeError("the first reset must be of all rows; got a reset_mask")
        seeds = read_seeds(seed, self.num_envs)
        start = read_episode(options.get("episode"), self.num_envs, self.device)
        group = read_group(options, self.num_envs, self.episodes.count, self.device)
        rows = torch.arange(self.num_envs, device=self.device) if chosen is None else chosen

        known = self._seed[rows] >= 0
        given = torch.tensor([s is not None for s in seeds], device=self.device)[rows]
        # A row that was never seeded takes one from the operating system.
        drawn = [secrets.randbits(62) if s is None else s for s in seeds]
        new = torch.tensor(drawn, device=self.device)[rows]
        fresh = given | ~known
        self._seed = self._seed.clone()
        self._seed[rows] = torch.where(fresh, new, self._seed[rows])
        self._episode = self._episode.clone()
        self._episode[rows] = torch.where(fresh, 0, self._episode[rows] + 1)
        if start is not None:
            self._episode[rows] = start[rows]
        self._stream[rows] = self.episodes.stream(self._seed[rows])

        state = self._first(rows, group)
        self._ahead.forget()
        if self._has_network:
            state = self.task.prepare(state)
        self._elapsed[rows] = 0
        if self._state is None or chosen is None:
            self._state = state.clone()
            self._ended = torch.zeros_like(self._ended)
            self._ended_rows = None
        else:
            self._state.put(rows, state)
            self._ended = self._ended.clone()
            self._ended[rows] = False
            self._ended_rows = rows_of(self._ended)
        none = torch.zeros_like(self._ended)
        return Step(
            observation=_owned(self.task.observe(self._state), _storages(self._state)),
            reward=self._zeros(),
            terminated=none,
            truncated=none.clone(),
            seed=self._seed,
            episode=self._episode,
            live=none.index_fill(0, rows, True),
            action_mask=self._mask(self._state),
        )

    def _settle(
        self,
        final: State,
        rows: Tensor,
        inner: Tensor,
        terms: dict[str, Tensor],
        metrics: dict[str, Tensor],
    ) -> None:
        """Add the terminal terms and episode metrics of the rows that the task itself ended."""
        if self.max_episode_steps is not None:
            own = inner[rows]
            if not bool(own.any()):
                return
            final, rows = final.rows(own), rows[own]
        result = self.task.outcome(final)
        for table, values in ((terms, result.terms), (metrics, result.metrics)):
            new = [name for name in values if name not in table]
            if new:  # in one go: there may be a dozen
                found = torch.stack([values[name].float() for name in new])  # [M, K]
                whole = found.new_zeros(len(new), self.num_envs).index_add_(1, rows, found)
                table.update(zip(new, whole.unbind(), strict=True))
            for name in values.keys() - new:
                table[name] = table[name].index_add(0, rows, values[name].to(table[name].dtype))

    def _fill(
        self, terms: dict[str, Tensor], metrics: dict[str, Tensor], ignored: Tensor | None
    ) -> None:
        """Every declared term and free metric is there at every step, zero without a value."""
        free = [name for name, metric in self.task.metrics.items() if metric.when in FREE]
        for table, names in ((terms, self.task.terms), (metrics, free)):
            if unknown := set(table) - set(names):
                raise KeyError(f"{type(self.task).__name__} declares no {sorted(unknown)}")
            for name in names:
                if name not in table:
                    table[name] = self._zeros()
                elif ignored is not None:
                    table[name] = table[name].masked_fill(ignored, 0.0)

    def _zeros(self) -> Tensor:
        return torch.zeros(self.num_envs, device=self.device)

    def _restart(self, state: State, rows: Tensor) -> None:
        """Overwrite rows by the first states of their next episodes."""
        # A new tensor: `Final` still holds the old one.
        self._episode = self._episode.index_add(0, rows, torch.ones_like(rows))
        if self.max_episode_steps is not None:
            self._elapsed = self._elapsed.index_fill(0, rows, 0)
        state.put(rows, self._ahead.first(rows, self._stream, self._episode))

    def _drawn(self, stream: Tensor, episode: Tensor) -> State:
        return self.task.initial_state(*self.episodes.draw(stream, episode))

    def _first(self, rows: Tensor, group: tuple[Tensor, int, bool] | None = None) -> State:
        instance, key = self.episodes.draw(self._stream[rows], self._episode[rows])
        if group is not None:
            ids, repeats, shared = group
            instance = self.episodes.at(ids)
            row = torch.arange(len(rows), device=self.device)
            key = key[row - row % repeats]
            if not shared:
                key = branch_key(key, row % repeats)
        return self.task.initial_state(instance, key)

    def _mask(self, state: State) -> Tensor | None:
        mask = self.task.action_mask(state)
        return _owned(mask, _storages(state))

    def _template(self) -> State:
        zero = torch.zeros(1, dtype=torch.int64, device=self.device)
        return self._drawn(zero, zero)


def _storages(state: State) -> set[int]:
    """Where the fields of a state are kept."""
    return {value.untyped_storage().data_ptr() for value in state.tensors().values()}


def _owned(values: Returned, held: set[int]) -> Returned:
    """Copy what shares storage with the state, which the next step may write into."""

    def own(value: Any) -> Any:
        shared = value is not None and value.untyped_storage().data_ptr() in held
        return value.clone() if shared else value

    return {k: own(v) for k, v in values.items()} if isinstance(values, dict) else own(values)
