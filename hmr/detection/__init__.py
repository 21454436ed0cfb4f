"""People in photographs: found, placed by 33 landmarks, and described by the keypoints that users bring.

| file | what |
|---|---|
| `agreement` | How far a drawn body agrees with what the detector saw: keypoints beside landmarks |
| `boxes` | Boxes about people: how far two overlap, and which found person an annotated one is |
| `brought_keypoints` | Keypoints that the user brings take the place of the detector's landmarks, person by person |
| `keypoint_file` | Reads a user's own 2-D keypoints of one picture, as JSON, in the layouts that tools write |
| `keypoint_person` | A person whom the user's keypoints name and the detector missed |
| `labelled_person` | A person whom a dataset points at: the detector looks where the record says |
| `people` | Finds the people in a photograph: box, landmarks in the picture and in metres, mask, square crop |
| `people_benchmark` | Photographs per second of the search for people, against one through every square |
| `photograph` | Photographs: read from a file as they are meant to be seen, and cropped to squares |
| `pose_networks` | BlazePose's two networks: one finds heads and body circles, one places 33 landmarks in a square |
| `resampling` | Pictures resampled fast: upright by area, and through any affine map |
| `search_quality` | How well people are found: found, missed and false, against people who were marked by eye |
| `tile_search` | The thorough search of a picture: finer squares only where someone may still be |

May import: nothing of ours.

To add a keypoint format: a layout in `keypoint_file`, recognised by its structure.
"""
