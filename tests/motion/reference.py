"""Plain numpy, one loop after the other, for the tests beside this one."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np


def turn(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rodrigues' rotation matrix."""
    x, y, z = axis / np.linalg.norm(axis)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * k + (1 - math.cos(angle)) * k @ k


def matrix(q: np.ndarray) -> np.ndarray:
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def forward(parents, offsets, root, rotations) -> np.ndarray:
    """One pose: joint positions by chains of 4 x 4 matrices."""
    chains = []
    for joint, parent in enumerate(parents):
        m = np.eye(4)
        m[:3, :3] = matrix(rotations[joint])
        m[:3, 3] = root if parent < 0 else offsets[joint]
        chains.append(m if parent < 0 else chains[parent] @ m)
    return np.array([m[:3, 3] for m in chains])


def read_bvh(path: Path) -> tuple[list[str], np.ndarray, float]:
    """Another reader: names and positions [T, J, 3] of joints, in the file's axes; seconds."""
    head, tail = path.read_text().split("MOTION")
    tokens = re.findall(r"[{}]|[^\s{}]+", head)
    names, parents, offsets, channels, stack = [], [], [], [], []
    k = 0
    while k < len(tokens):
        word = tokens[k]
        if word in ("ROOT", "JOINT"):
            names.append(tokens[k + 1])
            parents.append(stack[-1] if stack else None)
            k += 1
        elif word == "End":
            stack.append("end")
            k += 2  # Site {
        elif word == "{":
            stack.append(len(names) - 1)
        elif word == "}":
            stack.pop()
        elif word == "OFFSET":
            if stack[-1] != "end":
                offsets.append([float(x) for x in tokens[k + 1 : k + 4]])
            k += 3
        elif word == "CHANNELS":
            count = int(tokens[k + 1])
            channels.append(tokens[k + 2 : k + 2 + count])
            k += 1 + count
        k += 1
    lines = tail.strip().splitlines()
    assert lines[0].split()[0] == "Frames:" and lines[1].startswith("Frame Time:")
    frames = [[float(x) for x in line.split()] for line in lines[2:]]
    assert len(frames) == int(lines[0].split()[1])
    unit = dict(zip("XYZ", np.eye(3), strict=True))
    places = []
    for frame in frames:
        values, chains = iter(frame), []
        for joint in range(len(names)):
            m = np.eye(4)
            m[:3, 3] = offsets[joint]
            for channel in channels[joint]:
                value = next(values)
                if channel.endswith("position"):
                    m["XYZ".index(channel[0]), 3] = value
                else:
                    step = np.eye(4)
                    step[:3, :3] = turn(unit[channel[0]], math.radians(value))
                    m = m @ step
            parent = parents[joint]
            chains.append(m if parent is None else chains[parent] @ m)
        places.append([m[:3, 3] for m in chains])
    return names, np.array(places), float(lines[1].split(":")[1])


def contact_score(feet: np.ndarray, fps: float) -> float:
    scores = []
    for t in range(1, len(feet) - 1):
        speed = min(np.linalg.norm(feet[t + 1, k] - feet[t - 1, k]) / 2 * fps for k in range(4))
        height = abs(min(feet[t, k, 2] for k in range(4)))
        scores.append(math.exp(-max(0, speed - 0.075)) * math.exp(-max(0, height - 0.05)))
    return float(np.mean(scores))


def slide(feet: np.ndarray, still: np.ndarray) -> float:
    total = 0.0
    for t in range(1, len(feet)):
        for k in range(feet.shape[1]):
            if still[t, k] and still[t - 1, k]:
                total += np.linalg.norm(feet[t, k, :2] - feet[t - 1, k, :2])
    return total / feet.shape[1]


def beats(positions: np.ndarray, sigma: float) -> list[int]:
    from scipy.ndimage import gaussian_filter
    from scipy.signal import argrelextrema

    speed = np.linalg.norm(positions[1:] - positions[:-1], axis=2).mean(1)
    return list(argrelextrema(gaussian_filter(speed, sigma), np.less)[0])


def nearness(ones: list[int], others: list[int], sigma: float) -> float:
    if not ones or not others:
        return 0.0
    d = [min(abs(a - b) for b in others) for a in ones]
    return float(np.mean([math.exp(-(x**2) / 2 / sigma**2) for x in d]))


def kinetic(p: np.ndarray, dt: float, bug: bool) -> np.ndarray:
    """[T, J, 3], z up -> [3 J]."""
    features = []
    for joint in range(p.shape[1]):
        across = up = spent = 0.0
        for i in range(1, len(p)):
            near = [i + j for j in range(-2, 3)]
            v = [(p[t, joint] - p[t - 1, joint]) / dt for t in near if 1 <= t < len(p)]
            a = []
            for t in near:
                if 1 <= t < len(p) - 1:
                    later = (p[t + 1, joint] - p[t, joint]) / dt
                    earlier = p[t, joint] - p[t - 1, joint] / dt
                    if not bug:
                        earlier = (p[t, joint] - p[t - 1, joint]) / dt
                    a.append((later - earlier) / dt)
            mean = np.mean(v, 0)
            across += mean[0] ** 2 + mean[1] ** 2
            up += mean[2] ** 2
            spent += np.linalg.norm(np.mean(a, 0))
        features += [x / (len(p) - 1) for x in (across, up, spent)]
    return np.array(features)


def geometric(p: np.ndarray, parts: dict[str, int], dt: float, hl, sw, hw) -> np.ndarray:
    """[T, P, 3], z up -> [32], each feature written out."""

    def unit(x):
        return x / np.linalg.norm(x)

    rows = []
    for t in range(1, len(p)):
        now = {name: p[t, k] for name, k in parts.items()}
        old = {name: p[t - 1, k] for name, k in parts.items()}
        v = {name: (now[name] - old[name]) / dt for name in parts}
        floor = np.array([0, 0, min(p[t, :, 2])])
        z = np.array([0.0, 0, 1])

        def across(a, b, c, d, now=now, v=v):
            n = np.cross(now[c] - now[a], now[b] - now[a])
            return (v[d] - v[a]) @ unit(n)

        def plane(a, b, c, d, now=now):
            n = np.cross(now[c] - now[a], now[b] - now[a])
            return (now[d] - now[a]) @ unit(n)

        def toward(a, b, c, now=now, v=v):
            return (v[c] - v[a]) @ unit(now[b] - now[a])

        def beyond(a, b, c, d, now=now):
            return (now[d] - now[c]) @ unit(now[b] - now[a])

        def angle(first, second):
            cosine = unit(first) @ unit(second)
            return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))

        def bone(a, b, now=now):
            return now[b] - now[a]

        rows.append(
            [
                across("neck", "rhip", "lhip", "rwrist") > 1.8 * hl,
                across("neck", "lhip", "rhip", "lwrist") > 1.8 * hl,
                beyond("chest", "neck", "neck", "rwrist") > 0.2 * hl,
                beyond("chest", "neck", "neck", "lwrist") > 0.2 * hl,
                toward("belly", "chest", "chest") > 1.8 * hl,
                toward("belly", "chest", "chest") > 1.8 * hl,  # published: the wrist is not asked
                0 < angle(bone("relbow", "rshoulder"), bone("relbow", "rwrist")) < 110,
                0 < angle(bone("lelbow", "lshoulder"), bone("lelbow", "lwrist")) < 110,
                beyond("lshoulder", "rshoulder", "lwrist", "rwrist") > 2.5 * sw,
                toward("lwrist", "rwrist", "rwrist") > 1.4 * hl,
                toward("rwrist", "root", "lwrist") > 1.4 * hl,
                toward("lwrist", "root", "rwrist") > 1.4 * hl,
                np.linalg.norm(v["rwrist"]) > 2.5 * hl,
                np.linalg.norm(v["lwrist"]) > 2.5 * hl,
                plane("root", "lhip", "ltoes", "rankle") > 0.38 * hl,
                plane("root", "rhip", "rtoes", "lankle") > 0.38 * hl,
                (now["rankle"] - floor) @ z > 1.2 * hl,
                (now["lankle"] - floor) @ z > 1.2 * hl,
                beyond("lhip", "rhip", "lankle", "rankle") > 2.1 * hw,
                0 < angle(bone("rknee", "rhip"), bone("rknee", "rankle")) < 110,
                0 < angle(bone("lknee", "lhip"), bone("lknee", "lankle")) < 110,
                np.linalg.norm(v["rankle"]) > 2.5 * hl,
                np.linalg.norm(v["lankle"]) > 2.5 * hl,
                25 < angle(bone("neck", "root"), bone("rshoulder", "relbow")) < 180,
                25 < angle(bone("neck", "root"), bone("lshoulder", "lelbow")) < 180,
                50 < angle(bone("neck", "root"), bone("rhip", "rknee")) < 180,
                50 < angle(bone("neck", "root"), bone("lhip", "lknee")) < 180,
                plane("rankle", "neck", "lankle", "root") > 0.5 * hl,
                70 < angle(bone("neck", "root"), z) < 110,
                (now["rwrist"] - floor) @ -z > -1.2 * hl,
                (now["lwrist"] - floor) @ -z > -1.2 * hl,
                np.linalg.norm(v["root"]) > 2.3 * hl,
            ]
        )
    return np.array(rows, float).mean(0)


def physical_foot_contact(root: np.ndarray, feet: np.ndarray) -> float:
    """At 30 fps."""
    dt, terms, sizes = 1 / 30, [], []
    for t in range(1, len(root) - 1):
        a = (root[t + 1] - 2 * root[t] + root[t - 1]) / dt**2
        a[2] = max(0.0, a[2])
        sizes.append(np.linalg.norm(a))
        step = [np.linalg.norm(feet[t + 1, k, :2] - feet[t, k, :2]) for k in range(4)]
        terms.append(min(step[:2]) * min(step[2:]))
    return float(np.mean(np.array(terms) * np.array(sizes) / max(sizes)) * 10_000)
