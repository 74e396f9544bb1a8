"""/api/certificates: how the panel's and the apps' certificates stand; having one obtained anew."""

from litestar import get, post

from slipway.apps.models import App, Environment
from slipway.apps.routes import ENVIRONMENT
from slipway.certificates.service import Certificates, CertificateView
from slipway.errors import NotFound
from slipway.events.models import Actor
from slipway.web.callers import Caller
from slipway.web.policies import Policy


@get("/api/certificates", policy=Policy.SIGNED_IN)
async def list_certificates(caller: Caller, certificates: Certificates) -> list[CertificateView]:
    """The panel's, then those of the apps that the caller may see."""
    return await certificates.list_certificates(caller.team_ids)


@post("/api/certificates/panel/renew", policy=Policy.OPERATOR, status_code=202)
async def renew_panels(actor: Actor, certificates: Certificates) -> CertificateView:
    """Have the panel's certificate obtained anew, now and in the background."""
    return await certificates.renew(actor, None, None)


@get(ENVIRONMENT + "/certificate", policy=Policy.VIEWER)
async def show_certificate(app: App, environment: Environment, certificates: Certificates) -> CertificateView:
    """How the certificate of the environment's name stands."""
    found = await certificates.find(app, environment)
    if found is None:
        raise NotFound(f"{app.name} ({environment.name}) has no certificate: it gets one when something is live there.")
    return found


@post(ENVIRONMENT + "/certificate/renew", policy=Policy.MEMBER, status_code=202)
async def renew_certificate(
    app: App, environment: Environment, actor: Actor, certificates: Certificates
) -> CertificateView:
    """Have the certificate obtained anew, now and in the background."""
    return await certificates.renew(actor, app, environment)


HANDLERS = [list_certificates, renew_panels, show_certificate, renew_certificate]
