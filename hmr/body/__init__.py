"""The body: posed, shaped and placed before a camera, and what a body can and cannot do.

| file | what |
|---|---|
| `body` | The body: pose, shape and place in, vertices, joints and keypoints out |
| `body_benchmark` | Bodies per second, against smplx's skinning with a keypoint regressor behind it |
| `body_file` | Reads a body in SMPL's or SMPL-X's file format, `.npz` or `.pkl` |
| `camera` | Pinhole geometry without ground truth |
| `ground` | People on the ground: where a floor lies under a body, and how a body comes to rest on it |
| `kinematics` | Forward kinematics, and the analytic inverse: bone directions and twists to joint rotations |
| `mesh_points` | Joints and keypoints from the vertices of a body's own mesh, by the regressors of its file |
| `landmark_points` | Where BlazePose places its 33 landmarks on a body: points fixed to joints' frames |
| `mesh_map` | From SMPL-X's mesh to SMPL's by the user's own matrix |
| `penetration` | How deep body parts pass through each other, from the joints alone: capsules about the limbs |
| `refinement` | A short fit of one body to the detector's landmarks, from a hypothesis and near it |
| `rotations` | Rotations as matrices and as vectors (axis times angle, radians), in both directions |
| `skeleton` | Names and parents of the joints: the 29 of HybrIK (SMPL's 24 and five leaves) and the 23 keypoints |
| `skinning` | Linear blend skinning as one product: what joints carry of a point, times where the joints went |
| `smplx_fold` | SMPL-X's 55 joints folded onto the tree of 24 that everything here is written for |
| `smplx_whole` | SMPL-X as it is: all 55 joints, with fingers, jaw, eyes and expression |

May import: nothing of ours but `hmr.detection.agreement`.

To add a body of another kind: a reader in `body_file` that ends in `BodyArrays`.
"""
