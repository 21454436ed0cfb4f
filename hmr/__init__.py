"""The model and its maths: from pixels of a person to hypotheses, and from scores to a better model.

| room | what |
|---|---|
| `detection/` | photographs to people: landmarks, masks, the user's keypoints |
| `body/` | pose, shape and camera to joints and vertices, and back |
| `diffusion/` | the diffused vector, noise, conditions, samplers |
| `published/` | the networks of ScoreHypo and ADHMR, in our own code |
| `models/` | base models as files: read, written, converted |
| `rendering/` | meshes to overlays, views and silhouettes |
| `studio/` | drawn people whose truth is known |
| `pretraining/` | the shipped bases, the floor below them and the ceiling above |
| `alignment/` | verdicts to a better model: advantages, objectives, trainer, guard |
| `metrics/` | errors in millimetres, spread, quality of critics |
| `processes` | work in several processes, results in order |

May import: none of our other folders except the leaves `storage.finished_file`, `storage.picture_file` and
`storage.safe_pickle`, and no prefect. Arrays in, arrays out; what reads or writes files says so.

Shapes are in the signatures. Units: metres in the camera frame (x right, y down, z forward), pixels where a name
says so, millimetres for errors (`_mm`). Each room's page says how to add one more.
"""
