"""How the fields of a contact are called elsewhere: the headers that map to them by themselves.

Contact exports of Apollo.io, HubSpot and Salesforce (reports and data loader), Sales Navigator, and the Connections.csv of
LinkedIn. Case, spaces, dashes, underscores and dots never matter, nor a zone or a currency in brackets at the end.
"""

from __future__ import annotations

_SPELLINGS = """
first_name: given name | fname | contact first name
last_name: surname | family name | lname | contact last name
title: job title | position | role | contact title | headline
seniority: seniority level | management level | job level | employment seniority
departments: department | job function | functions
person_linkedin_url: person linkedin | linkedin url | linkedin | linkedin profile | linkedin profile url | contact
  linkedin url | profile url | url | hs_linkedin_url
email: e-mail | email address | e-mail address | work email | contact email | primary email | business email
email_status: email verification status | email validity
email_confidence: email score | email accuracy
primary_email_source: email source
first_phone: phone | phone number | telephone | primary phone | contact phone
work_direct_phone: work phone | direct phone | direct dial | business phone | office phone
home_phone: home telephone | phone home
mobile_phone: mobile | mobile phone number | cell | cell phone | mobile number
corporate_phone: hq phone | headquarters phone | main phone
other_phone: phone 2 | secondary phone | alternate phone | asst. phone
company: company name | account name | organization | organisation | organization name | associated company |
  employer | account
company_name_for_emails: cleaned company name | company short name
industry: company industry | sector
employees: # employees | number of employees | no. of employees | employee count | company size | headcount |
  company headcount
keywords: company keywords | tags
technologies: technology | web technologies | tech stack
seo_description: company description | about us | description
company_phone: account phone | company phone number | company telephone
company_address: account address | billing street | billing address | street address | company street | address
company_city: billing city | account city
company_state: billing state | billing state/province | company state/region | account state
company_country: billing country | company country/region | account country
website: website url | company website | company domain | company domain name | domain | web site | company url |
  homepage
company_linkedin_url: company linkedin | linkedin company page | organization linkedin url
facebook_url: facebook | facebook company page | company facebook url
twitter_url: twitter | x url | company twitter url | twitter profile
number_of_retail_locations: retail locations | store count | number of stores
city: person city | contact city | mailing city | town
state: state/region | person state | contact state | mailing state | mailing state/province | region | province
country: country/region | person country | contact country | mailing country
annual_revenue: revenue | company revenue | company annual revenue | estimated revenue
total_funding: total money raised | funding total | total funding amount
latest_funding: latest funding round | last funding round | funding stage | last funding type
latest_funding_amount: last funding amount
last_raised_at: last funding date | latest funding date | last raised on
stage: contact stage | lifecycle stage | lead status | lead stage | contact status
lists: list | contact lists | list memberships
contact_owner: owner | lead owner | owner name | contact owner: full name
account_owner: company owner | account owner: full name
last_contacted: last contact date | last contacted date | last activity | last activity date | last touch
email_sent: emailed
email_open: email opened | opened
email_bounced: bounced | email bounce
replied: email replied | has replied
demoed: demo | demo given
contact_id: apollo contact id | record id | contact record id | hubspot contact id | salesforce contact id |
  contactid | crm id | id | record id - contact
account_id: apollo account id | accountid | company id | associated company ids | associated company id | salesforce
  account id | company record id
"""


def _read() -> dict[str, tuple[str, ...]]:
    """Read the list: a line that begins with a blank goes on with the one before."""
    joined = _SPELLINGS.strip().replace("\n  ", " ")
    named = (line.split(": ", 1) for line in joined.splitlines())
    return {name: tuple(part.strip() for part in spellings.split(" | ")) for name, spellings in named}


HEADERS: dict[str, tuple[str, ...]] = _read()
