"""Meshes as pictures: overlays, side views, silhouettes.

| file | what |
|---|---|
| `gl_overlay` | Overlays through OpenGL: the reference back end of `hmr.rendering.overlay` |
| `overlay` | Pictures of a mesh for people and critics: drawn over its photograph, and from the side |
| `rasterizer` | A z-buffer for triangle meshes: depth, colours, silhouettes. Numba on one CPU thread, no GL |
| `render_benchmark` | Overlays per second of each renderer, against pyrender used as example code uses it |
| `renderers` | The back ends that draw overlays, by name |

May import: nothing of ours.

To add a back end: a class with `OverlayRenderer`'s methods, and its name in `renderers`.
"""
