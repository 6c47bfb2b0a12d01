"""The page that a site begins with: who is here, how far today's visitors came, what was said, who waits."""

from backend.domain.site import Site
from backend.pipeline.survey import COUNTED, survey
from backend.web.console.charts import NARROW, by_day
from backend.web.console.site_pages import Answer, fragment, page, show
from backend.web.context import runtime

DRAWN = ("sent", "clicked", "converted")


@page("/overview")
def overview(*, site: Site) -> Answer:
    """How the site is doing today."""
    told = survey(runtime(), site)
    return show("overview", "overview", told=told, counted=COUNTED, chart=by_day(told.days, DRAWN, NARROW))


@page("/overview/now")
def overview_now(*, site: Site) -> Answer:
    """The figures alone, as they are now."""
    return fragment("_figures", told=survey(runtime(), site))
