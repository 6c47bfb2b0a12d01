"""The SQL schema: per-visitor tables begin their key with `visitor_id`, the rest are small reference tables.

Moments are integers, microseconds since 1970 UTC, so that both databases sort and compare them alike; ids of ours are
32 hexadecimal digits; JSON is text, encoded and decoded in `schemas`.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, UniqueConstraint, text

from backend.storage.catalogue_tables import interests as interests
from backend.storage.conversation_tables import attachments as attachments
from backend.storage.conversation_tables import canned_replies as canned_replies
from backend.storage.conversation_tables import console_sessions as console_sessions
from backend.storage.conversation_tables import conversation_mails as conversation_mails
from backend.storage.conversation_tables import conversations as conversations
from backend.storage.conversation_tables import departments as departments
from backend.storage.conversation_tables import mail_addresses as mail_addresses
from backend.storage.conversation_tables import memberships as memberships
from backend.storage.conversation_tables import operator_links as operator_links
from backend.storage.conversation_tables import operators as operators
from backend.storage.conversation_tables import parts as parts
from backend.storage.funnel_tables import stage_entries as stage_entries
from backend.storage.merge_tables import merges as merges
from backend.storage.metadata import metadata as metadata
from backend.storage.notice_tables import digests as digests
from backend.storage.notice_tables import hooks as hooks
from backend.storage.notice_tables import push_subscriptions as push_subscriptions
from backend.storage.privacy_tables import access_log as access_log
from backend.storage.privacy_tables import erasures as erasures
from backend.storage.privacy_tables import thinned as thinned
from backend.storage.privacy_tables import tombstones as tombstones
from backend.storage.privacy_tables import withheld as withheld
from backend.storage.whole import Whole

REVISION = "0004"
"""The newest version in `migrations/versions`; a process does not start on another."""

sites = Table(
    "sites",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("write_key", Text, nullable=False, unique=True),
    Column("secret_key", Text, nullable=False),  # encrypted
    Column("document", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("site_id", Text),  # null: every site
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

rules = Table(
    "rules",
    metadata,
    Column("id", Text, primary_key=True),
    Column("site_id", Text, nullable=False, index=True),
    Column("status", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("moved_to", Integer, nullable=False, server_default="0"),  # whoever is in an earlier version goes on with it
    Column("key", Text),
    Index("ux_rules_key", "site_id", "key", unique=True),
)

rule_versions = Table(
    "rule_versions",
    metadata,
    Column("rule_id", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("site_id", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("enrolled", Text, nullable=False),  # keep, move: what became of those who were in it
    Column("author", Text),  # the name of the token
    Column("created_at", BigInteger, nullable=False),
)

segments = Table(
    "segments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("site_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False),  # orders all definitions of a site, those taken away too
    Column("document", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),
    UniqueConstraint("site_id", "name"),
)

segment_members = Table(
    "segment_members",
    metadata,
    Column("visitor_id", Text, primary_key=True),
    Column("segment_id", Text, primary_key=True),
    Column("entered_at", BigInteger, nullable=False),
)
Index(
    "ix_segment_members_segment_id_entered_at",
    segment_members.c.segment_id,
    segment_members.c.entered_at,
    segment_members.c.visitor_id,
)
Index("ix_segment_members_segment_id_visitor_id", segment_members.c.segment_id, segment_members.c.visitor_id)

partitions = Table(
    "partitions",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("last_id", Text, nullable=False),  # the log's entry up to which everything has taken effect
    Column("attempts", Integer, nullable=False, server_default="0"),
)

dead_events = Table(
    "dead_events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("site_id", Text),
    Column("partition", Integer, nullable=False),
    Column("entry", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

visitors = Table(
    "visitors",
    metadata,
    Column("visitor_id", Text, primary_key=True),
    Column("site_id", Text, nullable=False),
    Column("merged_into", Text),
    Column("user_id", Text),
    Column("email", Text),
    Column("stage", Text, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("profile", Text, nullable=False),
    Column("wake_at", BigInteger),  # when a rule waits for this visitor though nothing comes in
)
Index("ix_visitors_site_id_last_seen", visitors.c.site_id, visitors.c.last_seen)
Index(
    "ix_visitors_site_id_email",
    visitors.c.site_id,
    visitors.c.email,
    sqlite_where=text("email IS NOT NULL"),
    postgresql_where=text("email IS NOT NULL"),
)

Index(
    "ix_visitors_wake_at",
    visitors.c.wake_at,
    sqlite_where=text("wake_at IS NOT NULL"),
    postgresql_where=text("wake_at IS NOT NULL"),
)

events = Table(
    "events",
    metadata,
    Column("visitor_id", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("site_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("arrival", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)
Index("ix_events_visitor_id_timestamp", events.c.visitor_id, events.c.timestamp, events.c.arrival)

enrolments = Table(
    "enrolments",
    metadata,
    Column("visitor_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("site_id", Text, nullable=False),
    Column("rule_id", Text, nullable=False),
    Column("status", Text, nullable=False),  # waiting, ended
    Column("entered_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Column("rule_version", Integer, nullable=False, server_default="1"),
    Column("outcome", Text),  # null while it waits
    Column("reason", Text),  # of the outcome, or why it waits longer
)
Index("ix_enrolments_rule_id", enrolments.c.rule_id, enrolments.c.entered_at)
Index(
    "ix_enrolments_rule_id_rule_version",
    enrolments.c.rule_id,
    enrolments.c.rule_version,
    sqlite_where=text("status = 'waiting'"),
    postgresql_where=text("status = 'waiting'"),
)
Index(
    "ix_enrolments_due_at",
    enrolments.c.due_at,
    sqlite_where=text("status = 'waiting'"),
    postgresql_where=text("status = 'waiting'"),
)

messages = Table(
    "messages",
    metadata,
    Column("visitor_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("site_id", Text, nullable=False),
    Column("rule_id", Text, nullable=False),
    Column("enrolment_id", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("anonymous_id", Text),
    Column("address", Text),
    Column("content", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),  # when to try next, or to fall back
    Column("lease_until", BigInteger),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("sent_at", BigInteger),
    Column("shown_at", BigInteger),
    Column("clicked_at", BigInteger),
    Column("dismissed_at", BigInteger),
    Column("replied_at", BigInteger),
    Column("reply", Text),
    Column("step", Text, nullable=False, server_default=""),  # of the rule
)
Index("ix_messages_site_id_created_at", messages.c.site_id, messages.c.created_at)
Index(
    "ix_messages_due_at",
    messages.c.due_at,
    sqlite_where=text("status IN ('queued', 'claimed', 'sending')"),
    postgresql_where=text("status IN ('queued', 'claimed', 'sending')"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("visitor_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),  # the visitor's id, a dot, and 32 digits
    Column("site_id", Text, nullable=False),
    Column("rule_id", Text, nullable=False),
    Column("enrolment_id", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("target", Text, nullable=False),  # host:port
    Column("headers", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("answered", Integer),  # the status of the last answer
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),  # when to try next
    Column("lease_until", BigInteger),
    Column("ended_at", BigInteger),
    Column("kind", Text, nullable=False, server_default="rule"),  # rule, hook, push: who promised it
    Column("hook_id", Text),  # of a hook, or of an operator's browser
)
Index("ix_webhooks_site_id_created_at", webhooks.c.site_id, webhooks.c.created_at)
Index(
    "ix_webhooks_due_at",
    webhooks.c.due_at,
    sqlite_where=text("status IN ('queued', 'sending')"),
    postgresql_where=text("status IN ('queued', 'sending')"),
)

tallies = Table(
    "tallies",
    metadata,
    Column("site_id", Text, primary_key=True),
    Column("rule_id", Text, primary_key=True),
    Column("day", Text, primary_key=True),  # of the site, as 2026-03-01
    Column("step", Text, primary_key=True),
    Column("variant", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("number", Whole, nullable=False),  # money in millionths
)

contests = Table(
    "contests",
    metadata,
    Column("rule_id", Text, primary_key=True),
    Column("step", Text, primary_key=True),
    Column("test", Text, primary_key=True),  # of these wordings; another one when they change
    Column("site_id", Text, nullable=False),
    Column("began_at", BigInteger, nullable=False),
    Column("looks", Integer, nullable=False, server_default="0"),
    Column("looked_at", BigInteger),
    Column("variant", Text),  # the one that has won
    Column("since", BigInteger),  # from when on it gets everybody who is new
    Column("document", Text, nullable=False, server_default="{}"),  # the numbers of the last look
)

sweeps = Table(
    "sweeps",
    metadata,
    Column("id", Text, primary_key=True),  # of what goes through all visitors, such as a round of a broadcast
    Column("site_id", Text, nullable=False),
    Column("rule_id", Text, nullable=False),  # of segments: the revision that everybody is asked
    Column("kind", Text, nullable=False),  # broadcast, wake, move, segments, product, interests
    Column("due_at", BigInteger, nullable=False),
    Column("cursor", Text, nullable=False, server_default=""),  # the last visitor that was looked at
    Column("done", BigInteger, nullable=False, server_default="0"),  # visitors that were addressed
    Column("next_at", BigInteger, nullable=False),  # when to go on
    Column("ended_at", BigInteger),
    Column("subject", Text, nullable=False, server_default=""),  # of product: what changed, as JSON
)
Index("ix_sweeps_rule_id", sweeps.c.rule_id, sweeps.c.due_at)

unsubscribes = Table(
    "unsubscribes",
    metadata,
    Column("site_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

Index(
    "ix_visitors_site_id_merged_into",
    *(visitors.c[name] for name in ("site_id", "visitor_id", "merged_into")),
    sqlite_where=text("merged_into IS NOT NULL"),
    postgresql_where=text("merged_into IS NOT NULL"),
)

PER_VISITOR = tuple(
    table for table in metadata.sorted_tables if next(iter(table.primary_key.columns)).name == "visitor_id"
)
"""Everything that is kept of one visitor; whoever is erased is in none of them any more."""
