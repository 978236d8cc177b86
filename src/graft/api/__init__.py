"""The functions that `import graft` offers to notebooks and programs: plain calls on a project, without Prefect or
stages.

The stages of the pipeline call the same functions below, and leave the same files.
"""
