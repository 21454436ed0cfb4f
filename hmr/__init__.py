"""The model and its maths: from pixels of a person to hypotheses, and from scores to a better model.

| what | modules |
|---|---|
| pixels to people | `photograph`, `people`, `pose_networks`, `keypoint_file`, `boxes` |
| people to a condition | `observation` (arrays), `condition` (`Observation`, `Condition`, encoders) |
| condition to hypotheses | `noise_schedule`, `noise_predictor`, `sampler`, `compute`, `base_model` (weights on disk) |
| hypotheses to bodies | `latent` (diffused vector), `inverse_kinematics`, `rotations`, `camera`, `body`, `skeleton` |
| files to bodies | `body_file`, `smplx_fold` (SMPL-X on SMPL's joints) |
| bodies to pictures | `rasterizer`, `overlay`, `gl_overlay`, `penetration` |
| scores to a better model | `advantage`, `objectives/`, `trainer`, `guard`, `learner`, `train_settings` |
| groups to the trainer | `group_source` (the protocol), `group_order` (which when), `training_state` (on disk) |
| truth and measuring | `pose_prior`, `studio` (people), `labels` (the door to their truth), `metrics`, `evaluation` |
| without truth | `agreement` (with what the detector saw), `refinement` (a short fit to it) |
| how good a critic is | `perturbation` (groups about the truth), `critic_quality` |
| baselines | `pretraining` (the shipped bases), `lifting` (the floor), `headroom` (the ceiling) |

May import: of our other folders `storage.finished_file` and `storage.safe_pickle` alone, and no prefect. Arrays in,
arrays out; what reads or writes files says so.

Shapes stand in the signatures. Units: metres in the camera frame (x right, y down, z forward), pixels where a name
says so, millimetres for errors (`_mm`).

To add one more:
- a base model: an encoder that turns an `Observation` into a `Condition` and a noise predictor that reads it
  (protocols in `condition` and `noise_predictor`); sampler, objectives, trainer and benchmark know no more;
- an objective: one file in `objectives/`, as its page says;
- a metric: a function in `metrics`, in millimetres, with a hand-worked test.
"""
