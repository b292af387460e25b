"""The fields of a contact: what each is called in the exports of CRM programs, how it is cleaned and checked."""

from __future__ import annotations

from rowmill.contacts.headers import HEADERS
from rowmill.contracts import Column
from rowmill.merging.target import Target, TargetField

PHONES = (
    "first_phone",
    "work_direct_phone",
    "home_phone",
    "mobile_phone",
    "corporate_phone",
    "other_phone",
    "company_phone",
)
_CHECKS = {
    "count": ("count-written",),
    "money": ("money-written",),
    "share": ("share-written",),
    "day": ("day-written",),
    "moment": ("moment-written",),
    "flag": ("flag-written",),
}


# Name, what people read, cleaner, checks besides the cleaner's own, what it is.
# fmt: off
FIELDS: tuple[tuple[str, str, str, str, str], ...] = (
    ("first_name", "First name", "text", "", "The first name."),
    ("last_name", "Last name", "text", "", "The last name."),
    ("title", "Title", "text", "", "The job title."),
    ("seniority", "Seniority", "text", "", "The rank: director, vp, owner."),
    ("departments", "Departments", "list", "", "Departments, separated by commas."),
    ("person_linkedin_url", "LinkedIn of the person", "text", "web-address", "The person's page at LinkedIn."),
    ("email", "E-mail", "lower", "email", "The address. It names the contact where there is no ID."),
    ("email_status", "E-mail status", "text", "", "Verified, guessed, unavailable."),
    ("email_confidence", "E-mail confidence", "share", "", "How sure the address is, as a number."),
    ("primary_email_source", "Source of the e-mail", "text", "", "Where the address came from."),
    ("first_phone", "First phone", "text", "phone-written", "The phone to try first."),
    ("work_direct_phone", "Direct phone", "text", "phone-written", "The direct line at work."),
    ("home_phone", "Home phone", "text", "phone-written", "The phone at home."),
    ("mobile_phone", "Mobile phone", "text", "phone-written", "The mobile phone."),
    ("corporate_phone", "Corporate phone", "text", "phone-written", "The company's switchboard, in the person's record."),
    ("other_phone", "Other phone", "text", "phone-written", "Any other phone."),
    ("company", "Company", "text", "", "The company's name."),
    ("company_name_for_emails", "Company name for e-mails", "text", "", "The company's name as one says it in a letter."),
    ("industry", "Industry", "text", "", "The industry."),
    ("employees", "Employees", "count", "", "How many people work there; 11-50 keeps both ends."),
    ("keywords", "Keywords", "list", "", "Words, separated by commas."),
    ("technologies", "Technologies", "list", "", "What the company uses, separated by commas."),
    ("seo_description", "SEO description", "text", "", "How the company's page describes it."),
    ("company_phone", "Company phone", "text", "phone-written", "The company's phone."),
    ("company_address", "Company address", "text", "", "Street and number of the company."),
    ("company_city", "Company city", "text", "", "The company's city."),
    ("company_state", "Company state", "text", "", "The company's state or region."),
    ("company_country", "Company country", "text", "", "The company's country."),
    ("website", "Website", "text", "web-address", "The company's website."),
    ("company_linkedin_url", "LinkedIn of the company", "text", "web-address", "The company's page at LinkedIn."),
    ("facebook_url", "Facebook", "text", "web-address", "The company's page at Facebook."),
    ("twitter_url", "Twitter", "text", "web-address", "The company's page at Twitter."),
    ("number_of_retail_locations", "Retail locations", "count", "", "How many shops it has."),
    ("city", "City", "text", "", "The person's city."),
    ("state", "State", "text", "", "The person's state or region."),
    ("country", "Country", "text", "", "The person's country."),
    ("annual_revenue", "Annual revenue", "money", "", "The company's revenue of a year; $3,400 and 1.2M are understood."),
    ("total_funding", "Total funding", "money", "", "What the company has raised."),
    ("latest_funding", "Latest funding", "text", "", "The kind of its last round: Seed, Series A."),
    ("latest_funding_amount", "Amount of the latest funding", "money", "", "What the last round brought."),
    ("last_raised_at", "Last raised", "day", "", "The day of the last round."),
    ("stage", "Stage", "text", "", "Where the contact stands with you."),
    ("lists", "Lists", "list", "", "The lists that the contact is on."),
    ("contact_owner", "Contact owner", "text", "", "Whose contact it is."),
    ("account_owner", "Account owner", "text", "", "Whose account the company is."),
    ("last_contacted", "Last contacted", "moment", "", 'When somebody was last in touch. By it "newest wins" tells the newer one.'),
    ("email_sent", "E-mail sent", "flag", "", "Whether an e-mail was sent."),
    ("email_open", "E-mail opened", "flag", "", "Whether it was opened."),
    ("email_bounced", "E-mail bounced", "flag", "", "Whether it came back."),
    ("replied", "Replied", "flag", "", "Whether there was a reply."),
    ("demoed", "Demoed", "flag", "", "Whether there was a demonstration."),
    ("contact_id", "Contact ID", "text", "key-length", "The ID that the CRM knows the contact by. It names the contact."),
    ("account_id", "Account ID", "text", "", "The ID of the company."),
)
# fmt: on
EXAMPLES = {"email": "ann@example.org", "employees": "11-50", "annual_revenue": "$1.2M", "contact_id": "60f1c2"}
_TYPES = {"count": "integer", "money": "amount", "day": "date"}

COLUMNS: tuple[Column, ...] = tuple(
    Column(
        name,
        label,
        type=_TYPES.get(clean, "text"),  # type: ignore[arg-type]
        aliases=HEADERS[name],
        checks=tuple(checks.split()) or _CHECKS.get(clean, ()),
        help=help,
        example=EXAMPLES.get(name, ""),
    )
    for name, label, clean, checks, help in FIELDS
)

TARGET = Target(
    model_name="Contact",
    fields=(
        *(TargetField(name, clean) for name, _, clean, _, _ in FIELDS),
        TargetField("employees_most", "count-most", "employees", follows="employees"),
        TargetField("annual_revenue_most", "money-most", "annual_revenue", follows="annual_revenue"),
    ),
    keys=(("i", "contact_id"), ("m", "email")),
    gathered=(("phone_numbers", "phone-digits", PHONES),),
    extra="extra",
    newest_by="last_contacted",
)
