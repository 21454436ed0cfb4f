"""The embedded benchmark: drawn people whose truth is known, and what the detector sees of them.

| file | what |
|---|---|
| `detection_quality` | How a detector errs on people whose truth is known |
| `observation` | From a found person to the arrays that a condition encoder reads; without any labels |
| `pose_prior` | Plausible human poses out of anatomical angles: authored base poses, gait, interpolation |
| `simulated_detection` | Simulated detections: what BlazePose would have seen of bodies that were never drawn |
| `studio` | The embedded benchmark "studio": procedural people with exact ground truth, drawn as photographs |

May import: `hmr.body`, `hmr.detection`, `hmr.rendering`.

To add a split: its row in `studio`, and who may read its labels in `hmr.pretraining.labels`.
"""
