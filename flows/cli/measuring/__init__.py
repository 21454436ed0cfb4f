"""Measurements that need commands and flows; those of a single room lie in it.

| file | what |
|---|---|
| `all_benchmarks` | Every benchmark, each cut down and in a process of its own |
| `endurance_benchmark` | Groups of 10,000 photographs: memory in quarters of the time of each part, slowest pages |
| `growth_benchmark` | How the time from photograph to verdict grows with photographs, hypotheses and critics |
| `pipeline_benchmark` | Photographs a second from file to verdict, alone and through Prefect |
| `render_bench` | What `bench render` measures |
| `startup_benchmark` | Seconds until a command on one photograph is done, and what takes them: each in a new process |

May import: everything, but only inside of commands.
"""
