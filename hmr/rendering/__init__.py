"""Meshes as pictures and as numbers: overlays, views from elsewhere, silhouettes, depth, visibility. One rasteriser.

    render(meshes, cameras, image, style) -> overlays          # hmr.rendering.renderers; a batch

| file | what |
|---|---|
| `blending` | From the z-buffer to pixels: colours, contour, edges of limbs, opacity, several samples a pixel |
| `clipping` | Triangles that reach past the near plane are cut there |
| `gl_overlay` | Overlays through OpenGL (pyrender): the reference |
| `gl_platform` | Whether OpenGL can draw here, and by which driver |
| `mesh` | What is drawn: meshes, cameras, and what is wrong with a mesh that cannot be drawn |
| `overlay` | Meshes over a picture on one CPU thread: the default back end, and the protocol of all |
| `rasterizer` | A z-buffer for triangle meshes. Numba on one CPU thread, no GL |
| `render_baselines` | What a user would write with pyrender alone, timed in a process of its own |
| `render_benchmark` | Overlays per second against those, and how well our pixels agree with OpenGL's |
| `renderers` | Overlays of many pictures by one call; the back ends by name |
| `sheet` | Several pictures as one: numbered contact sheets, strips from before to after |
| `style` | How meshes look |
| `surface` | What a camera sees of a mesh, as numbers: silhouettes, depth, part ids, visible vertices |
| `torch_overlay` | Overlays by torch, for a GPU |
| `views` | Meshes from the side, from above, all around, on a floor |

May import: nothing of ours but `storage.picture_file`, a leaf.

To add a back end: a class with `OverlayRenderer`'s methods, and its name in `renderers`. To change the look: `style`
and `blending`; then raise `DRAWN_AS` (`tasks.groups.overlays`) and `PROMPT_VERSION` (`critique.vlm.prompt`), since a
critic that sees other pictures is another critic, and store the small golden pictures anew (`tests/golden/render`).
"""
