"""HTTP plumbing: who asks, who may, how answers, errors and streams look. It knows no domain.

A handler reads:

    @get("/api/apps/{app_name:str}/environments/{environment_name:str}", policy=Policy.VIEWER)
    async def show_environment(app: App, environment: Environment) -> EnvironmentView: ...

`policy` is required (`web.policies`). The gate has then found the caller and, for the policies with a role, the app
in the path. Handlers get by parameter name: `caller: Caller`, `actor: Actor`, `app: App`, `environment: Environment`
(from the path) and each service. A page returns `Template("pages/apps.html", context={…})`; in templates
`csrf_token()` gives what each form must post as `csrf_token` (htmx: the header `X-CSRF-Token`), and `caller()` who is
signed in, or None. Errors of `slipway.errors` are raised, never rendered by a handler.
"""
