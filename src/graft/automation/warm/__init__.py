"""Stages that find their libraries imported already: what makes `graft run` start each stage in a tenth of a second.

A stage is a process of its own, and each would spend up to seven CPU seconds on importing Prefect, MLflow, Great
Expectations and TensorFlow. `graft run` starts one process that imports them once, while Prefect's server starts and
DVC looks at the data (:mod:`graft.automation.warm.fork_server`). ``python -m pipelines.<stage>`` finds its address in
the environment, hands over its arguments and its standard streams, and waits (:mod:`graft.automation.warm.client`);
the server forks a child that runs the stage as if it had been started by itself. Without a server, on other systems
than Linux, or where anything stands against it, a stage runs as it always does.

What makes that the same as a process of its own: only libraries are imported in advance, and none is used; a stage
whose Python, folder or environment is not the server's is not taken on, since libraries read all of these; a process
with Python threads is not forked (libraries' native threads prepare for a fork by themselves); and TensorFlow is left
out where there is a GPU, as no fork survives an initialised driver.

What `graft run` does after the stages with the same libraries, the report, is handed over in the same way.

Nobody is left behind: a child is killed when its client ends; its client kills it when the server ends; and the
server ends with `graft run`.
"""

# Set by `graft run` for the stages: the path of the server's socket. "off", set by the user: no server.
VARIABLE = "GRAFT_WARM"
OFF = "off"
# What else may be handed over.
REPORT = "graft.automation.run_report"
