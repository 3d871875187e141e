"""Reading actions, and the two layouts of masks."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genenvs.core.actions import ActionReader, flat_actions, sample_mask

DISCRETE = spaces.Discrete(5)
SHIFTED = spaces.Discrete(5, start=-2)
MULTI = spaces.MultiDiscrete([3, 2])
BINARY = spaces.MultiBinary(3)
BOX = spaces.Box(-1, 1, (2, 2))
CPU = torch.device("cpu")


def read(space, action, num_envs=2, ignored=None, validate=True):
    return ActionReader(space, num_envs, CPU).read(action, ignored, validate)


@pytest.mark.parametrize(
    ("space", "action", "dtype"),
    [
        (DISCRETE, [0, 4], torch.int64),
        (SHIFTED, [-2, 2], torch.int64),
        (MULTI, [[0, 0], [2, 1]], torch.int64),
        (BINARY, [[0, 1, 1], [1, 0, 0]], torch.int64),
        (BOX, [[[0.5, -1], [1, 0]], [[0, 0], [0.25, 1]]], torch.float32),
    ],
)
def test_actions_arrive_as_given(space, action, dtype):
    for form in (action, np.array(action), torch.tensor(action), tuple(action)):
        result = read(space, form)
        assert result.dtype == dtype
        assert result.tolist() == action


def test_binary_actions_may_be_bool():
    assert read(BINARY, np.array([[True, False, True]] * 2)).tolist() == [[1, 0, 1]] * 2


@given(st.sampled_from(["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]))
def test_any_integer_type_does(dtype):
    assert read(DISCRETE, np.array([1, 4], dtype)).tolist() == [1, 4]
    assert read(DISCRETE, torch.from_numpy(np.array([1, 4], dtype))).tolist() == [1, 4]


def test_what_was_read_is_no_view_of_what_was_given():
    for space, given_action in ((DISCRETE, torch.tensor([1, 2])), (BOX, torch.zeros(2, 2, 2))):
        result = read(space, given_action)
        given_action.fill_(3)
        assert (result != 3).all()


@given(hnp.arrays(np.float64, (2, 2, 2), elements=st.floats(-1e300, 1e300)))
def test_finite_box_values_are_clipped(action):
    assert read(BOX, action).tolist() == np.clip(action, -1, 1).astype(np.float32).tolist()


@pytest.mark.parametrize(
    ("space", "action", "message"),
    [
        (DISCRETE, [0, 5], r"int64 \[2\] in 0..4; got int64 \[2\] with 5 at \[1\]"),
        (DISCRETE, [-1, 0], "with -1"),
        (SHIFTED, [3, 0], r"-2..2"),
        (DISCRETE, [0.0, 1.0], r"got float64 \[2\]"),
        (DISCRETE, np.zeros(2, np.float32), r"got float32 \[2\]"),
        (DISCRETE, [True, False], r"got bool"),
        (DISCRETE, [0, 1, 2], r"got int64 \[3\]"),
        (DISCRETE, 1, r"got int64 \[\]"),
        (spaces.Discrete(2), np.array(1), r"got int64 \[\]"),
        (DISCRETE, [[0], [1]], r"got int64 \[2, 1\]"),
        (DISCRETE, ["left", "right"], "got"),
        (MULTI, [[0, 2], [0, 0]], r"between \[0, 0\] and \[2, 1\].*with 2 at \[0, 1\]"),
        (BINARY, [[2, 0, 0], [0, 0, 0]], "with 2"),
        (BOX, np.full((2, 2, 2), np.nan), "real and finite.*nan"),
        (BOX, np.full((2, 2, 2), np.inf), "inf"),
        (BOX, np.zeros((2, 2, 2), complex), "complex"),
        (BOX, [[[0, 0], [0]], [[0, 0], [0, 0]]], "ragged"),
    ],
)
def test_what_is_outside_the_space_is_refused_with_what_came(space, action, message):
    with pytest.raises(ValueError, match=message):
        read(space, action)
    if isinstance(action, list | np.ndarray) and "ragged" not in message and "left" not in action:
        with pytest.raises(ValueError, match="got"):
            read(space, torch.as_tensor(np.asarray(action)))


def test_ignored_rows_are_not_checked():
    ignored = torch.tensor([False, True])
    assert read(DISCRETE, [3, 99], ignored=ignored).tolist() == [3, 0]
    box = np.zeros((2, 2, 2))
    box[1] = np.nan
    assert read(BOX, box, ignored=ignored)[0].tolist() == [[0, 0], [0, 0]]
    with pytest.raises(ValueError, match="99"):
        read(DISCRETE, [99, 3], ignored=ignored)


def test_values_of_a_tensor_are_looked_at_only_with_validate():
    assert read(DISCRETE, torch.tensor([0, 99]), validate=False).tolist() == [0, 4]
    with pytest.raises(ValueError, match="99"):
        read(DISCRETE, np.array([0, 99]), validate=False)


@pytest.mark.parametrize(
    ("space", "action", "expected"),
    [
        (DISCRETE, [-1, 1 << 40], [0, 4]),
        (SHIFTED, [-3, 3], [-2, 2]),
        (MULTI, [[-1, 2], [9, 1]], [[0, 1], [2, 1]]),
        (BINARY, [[-1, 2, 1], [0, 1, 0]], [[0, 1, 1], [0, 1, 0]]),
        (spaces.Box(-1, 1, (2,)), [[np.nan, np.inf], [-np.inf, 0.5]], [[0, 1], [-1, 0.5]]),
        (spaces.Box(2, 3, (2,)), [[np.nan, 2.5], [9.0, -9.0]], [[2, 2.5], [3, 2]]),
    ],
)
def test_what_is_not_looked_at_is_brought_into_the_space(space, action, expected):
    """Else an index of -1 takes the last entry, and a large one kills the CUDA context."""
    given_action = torch.tensor(action)
    result = read(space, given_action, validate=False)
    assert result.tolist() == expected
    assert all(row in space for row in result.numpy().astype(space.dtype))
    assert torch.equal(given_action, torch.tensor(action)) or np.isnan(action).any()
    ignored = torch.tensor([False, True])
    assert read(space, given_action, ignored=ignored, validate=False)[0].tolist() == expected[0]


@pytest.mark.parametrize("dtype", [np.longdouble, ">f8", ">f4", "float16", ">i2"])
def test_types_that_torch_lacks_are_read_too(dtype):
    action = np.array([[[0, 1], [1, 0]], [[0, 0], [-1, 1]]], dtype)
    assert read(BOX, action).tolist() == action.tolist()
    if np.dtype(dtype).kind == "f":
        with pytest.raises(ValueError, match=r"int64 \[2\] in 0..4; got float\d+ \[2\]"):
            read(DISCRETE, np.ones(2, dtype))
        with pytest.raises(ValueError, match="real and finite"):
            read(BOX, np.full((2, 2, 2), np.inf, dtype))
    else:
        assert read(DISCRETE, np.array([1, 4], dtype)).tolist() == [1, 4]


def test_other_action_spaces_are_refused():
    with pytest.raises(TypeError, match="must be one of"):
        ActionReader(spaces.Text(3), 1, CPU)


@pytest.mark.parametrize(("space", "count"), [(DISCRETE, 5), (SHIFTED, 5), (MULTI, 5), (BINARY, 6)])
@given(st.data())
def test_a_sample_with_a_mask_is_legal_by_the_flat_mask(space, count, data):
    assert flat_actions(space) == count
    sizes = {id(MULTI): [3, 2], id(BINARY): [2, 2, 2]}.get(id(space), [5])
    parts = [data.draw(st.lists(st.booleans(), min_size=n, max_size=n).filter(any)) for n in sizes]
    flat = np.concatenate(parts)
    action = space.sample(mask=sample_mask(space, flat))
    start = getattr(space, "start", 0) if space is SHIFTED else 0
    values = np.atleast_1d(np.asarray(action)) - start
    assert all(part[value] for part, value in zip(parts, values, strict=True))


def test_masks_of_other_lengths_and_spaces_are_refused():
    with pytest.raises(ValueError, match=r"must be \[5\]; got \[4\]"):
        sample_mask(DISCRETE, np.ones(4, bool))
    with pytest.raises(TypeError, match="only discrete"):
        flat_actions(BOX)


def test_a_batch_of_one_takes_no_bare_number():
    with pytest.raises(ValueError, match=r"int64 \[1\].*got int64 \[\]"):
        read(DISCRETE, 3, num_envs=1)


def test_read_only_actions_are_read_without_a_warning(recwarn):
    assert read(DISCRETE, np.broadcast_to(np.array(3), (2,))).tolist() == [3, 3]
    assert not recwarn.list
