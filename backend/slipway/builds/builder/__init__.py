"""What runs inside a build's unit as the environment's build user: `python -m slipway.builds.builder ORDER`.

It checks the commit out, detects what it is, installs, builds, and writes plan.json and result.json into the build's
folder. It holds no privilege: whatever it runs could do all that it does.
"""
