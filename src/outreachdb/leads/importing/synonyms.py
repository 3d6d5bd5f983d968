"""What tools and people call a lead's fields: English, German, French, Spanish, Portuguese, Italian, Dutch, Polish.

Headers stand here in the form that :func:`normalised` gives: lower case, no accents, words apart. A header means a
field only if it is in the list as a whole; a part is never enough ("Email Status", "Company Name for Emails").
"""

from __future__ import annotations

import re
import unicodedata

FULL_NAME = "full_name"

# Field -> headers that mean it, best first.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "email": (
        "email", "email address", "e mail", "e mail address", "mail", "work email", "business email", "primary email",
        "contact email", "email 1", "e mail 1 value", "email 1 value", "email work", "email adress", "email id",
        "primary email address", "work email address", "business email address", "professional email", "emailaddress",
        "e mail adresse", "email adresse", "mailadresse", "adresse e mail", "adresse email", "adresse mail",
        "adresse electronique", "courriel", "correo electronico", "correo", "direccion de correo electronico",
        "direccion de correo", "indirizzo e mail", "indirizzo email", "posta elettronica", "endereco de e mail",
        "endereco de email", "e mailadres", "emailadres", "mailadres", "adres e mail", "adres email", "adres mailowy",
        "user email", "channels email address",
    ),
    "first_name": (
        "first name", "firstname", "given name", "givenname", "forename", "fname", "contact first name", "first",
        "vorname", "prenom", "nombre de pila", "primeiro nome", "nome proprio", "voornaam", "imie",
        "firstnames",
    ),
    "last_name": (
        "last name", "lastname", "surname", "family name", "familyname", "lname", "contact last name", "last",
        "nachname", "familienname", "zuname", "nom de famille", "apellido", "apellidos", "sobrenome", "apelido",
        "cognome", "achternaam", "familienaam", "nazwisko",
    ),
    FULL_NAME: (
        "full name", "fullname", "display name", "contact name", "contact full name", "formatted name",
        "contact person", "person name", "vollstandiger name", "vollname", "nom complet", "nombre completo",
        "nombre y apellidos", "nome completo", "nome e cognome", "volledige naam", "imie i nazwisko",
        "ansprechpartner", "kontaktperson", "contactpersoon", "osoba kontaktowa", "persona de contacto",
        "personne a contacter", "persona di contatto", "pessoa de contato", "contact", "person", "lead name",
    ),
    "phone": (
        "phone", "phone number", "telephone", "telephone number", "tel", "work phone", "business phone",
        "direct phone", "work direct phone", "direct phone number", "direct dial", "office phone", "phone work",
        "phone number work", "primary phone", "phone 1 value", "phone 1", "mobile", "mobile phone", "mobile number",
        "mobile phone number", "cell", "cell phone", "phone mobile", "corporate phone", "sms", "phonenumber",
        "telefon", "telefonnummer", "telefon geschaftlich", "rufnummer", "mobiltelefon", "handy", "numero de telephone",
        "telephone professionnel", "telephone mobile", "portable", "telefono", "numero de telefono", "movil",
        "telefono movil", "celular", "telefone", "numero de telefone", "telemovel", "numero di telefono", "cellulare",
        "telefoon", "telefoonnummer", "mobiel", "numer telefonu", "telefon komorkowy",
    ),
    "title": (
        "job title", "jobtitle", "position", "title", "job position", "job", "role", "designation",
        "contact title", "organization 1 title", "organization title", "occupation", "current position", "job role",
        "berufsbezeichnung", "funktion", "stellenbezeichnung", "fonction", "poste", "intitule du poste", "cargo",
        "puesto", "puesto de trabajo", "qualifica", "ruolo", "posizione", "functie", "functietitel", "stanowisko",
    ),
    "company_name": (
        "company", "company name", "organization", "organisation", "organization name", "organisation name",
        "account name", "account", "employer", "business name", "current company", "organization 1 name",
        "customer account", "companyname", "associated company", "primary company",
        "firma", "firmenname", "unternehmen", "unternehmensname", "entreprise", "societe", "nom de l entreprise",
        "nom de la societe", "raison sociale", "empresa", "nombre de la empresa", "compania", "nome da empresa",
        "azienda", "societa", "ragione sociale", "nome azienda", "bedrijf", "bedrijfsnaam", "naam bedrijf",
        "organisatie", "nazwa firmy", "nazwa",
    ),
    "company_website": (
        "company website", "company website url", "company url", "website", "website url", "web site", "company domain",
        "company domain name", "domain", "domain name", "homepage", "web page", "webpage", "website 1 value",
        "web page 1", "www", "webseite", "internetseite", "site web", "site internet", "sitio web", "pagina web",
        "sito web", "sito", "site", "strona www", "strona internetowa",
    ),
    "linkedin_url": (
        "linkedin", "linkedin url", "linkedin profile", "linkedin profile url", "person linkedin url",
        "contact linkedin url", "linkedin contact profile url", "profile url", "linkedinurl",
        "linkedin link", "linkedin profil", "perfil de linkedin",
    ),
    "industry": (
        "industry", "company industry", "primary industry", "sector", "branche", "secteur", "secteur d activite",
        "industria", "sector de actividad", "setor", "settore", "branza",
    ),
    "country": (
        "country", "country region", "contact country", "country name", "mailing country", "business country region",
        "business country", "address 1 country", "person country", "land", "pays", "pais", "paese", "nazione", "kraj",
        "country code", "landcode", "country id", "work country",
    ),
    "city": (
        "city", "town", "contact city", "mailing city", "business city", "address 1 city", "stadt", "ort", "wohnort",
        "ville", "ciudad", "localidad", "poblacion", "cidade", "citta", "plaats", "woonplaats", "stad", "miasto",
        "miejscowosc", "work city",
    ),
    "timezone": ("timezone", "time zone", "tz", "zeitzone", "fuseau horaire", "zona horaria", "fuso orario"),
    "source": ("source", "lead source", "contact source", "original source", "herkunft", "quelle", "origen", "origem"),
    "source_key": (
        "source key", "external id", "contact id", "record id", "lead id", "person id", "contact record id",
        "apollo contact id", "zoominfo contact id", "apollo record id", "klaviyo id", "person system id", "ext id",
    ),
    "tags": (
        "tags", "tag", "labels", "label", "categories", "schlagworter", "schlagworte", "kategorien", "etiquettes",
        "etiquetas", "etichette", "tagi", "etykiety",
    ),
    "notes": (
        "notes", "note", "comments", "comment", "remarks", "remark", "description", "notizen", "notiz", "anmerkungen",
        "bemerkungen", "commentaires", "commentaire", "remarques", "notas", "nota", "observaciones", "observacoes",
        "comentarios", "opmerkingen", "notities", "uwagi", "notatki",
    ),
    "qualification_score": ("qualification score", "score", "lead score", "hubspot score"),
}  # fmt: skip

# Fields that a column may be mapped to by hand: a yes, a date or a cause in its cell suppresses the row's address.
MARKS = ("unsubscribed", "bounced", "blocked")
# Columns of exports that say by themselves who must not be mailed, and what they say.
MARK_HEADERS = {
    "email blacklisted": "blocked", "emailblacklisted": "blocked", "blacklisted": "blocked", "blocklisted": "blocked",
    "blocked": "blocked", "do not contact": "blocked", "donotcontact": "blocked", "do not email": "blocked",
    "dnc email": "blocked", "do not mail": "blocked", "suppressed": "blocked",
    "unsub time": "unsubscribed", "unsubscribed": "unsubscribed", "unsubscribe": "unsubscribed",
    "unsubscribed at": "unsubscribed", "unsubscribed on": "unsubscribed", "unsubscribe date": "unsubscribed",
    "unsubscribe time": "unsubscribed", "unsubscribed time": "unsubscribed", "date unsubscribed": "unsubscribed",
    "is unsubscribed": "unsubscribed", "unsubscribed from all email": "unsubscribed",
    "unsubscribed from emails": "unsubscribed", "has opted out of email": "unsubscribed",
    "email opt out": "unsubscribed", "opted out": "unsubscribed", "opt out": "unsubscribed",
    "optout": "unsubscribed", "email opted out": "unsubscribed", "email optout": "unsubscribed",
    "opt out date": "unsubscribed", "opted out at": "unsubscribed", "abgemeldet": "unsubscribed",
    "abgemeldet am": "unsubscribed", "desinscrit": "unsubscribed", "desinscrite": "unsubscribed",
    "desabonne": "unsubscribed", "desabonnee": "unsubscribed", "descadastrado": "unsubscribed",
    "descadastrada": "unsubscribed", "cancelado": "unsubscribed", "cancelada": "unsubscribed",
    "cancellato": "unsubscribed", "cancellata": "unsubscribed", "gesperrt": "blocked",
    "clean time": "bounced", "bounced": "bounced", "bounced at": "bounced", "bounce date": "bounced",
    "hard bounced": "bounced", "hard bounce": "bounced", "email bounced": "bounced", "email bounced date": "bounced",
    "email bounced reason": "bounced", "email hard bounce reason": "bounced",
    "email hard bounce reason enumerated": "bounced", "is bounced": "bounced", "bounce reason": "bounced",
}  # fmt: skip
MARK_PREFIXES = ("opted out of email",)
# Columns whose words may say it: "unsubscribed", "cleaned", "blocklisted", "hard bounce".
STATUS_HEADERS = frozenset(
    ("status", "subscriber status", "subscription status", "contact status", "email status", "member status",
     "list status", "lead status", "marketing status", "email marketing status", "email subscription status",
     "email marketing consent", "subscription", "optin status", "opt in status", "statut", "estado", "stato", "stan",
     "campaign status", "e mail status")
)  # fmt: skip

# One word for the name, and which part of it is meant where another column holds the other part.
NAME_WORDS = {
    "name": "last_name", "nom": "last_name", "naam": "last_name", "nome": "first_name", "nombre": "first_name",
    "nombres": "first_name",
}  # fmt: skip
# "Name" is the family name only beside these: in English it is the whole name, whatever stands beside it.
FIRST_NAMES_BESIDE_NAME = ("vorname", "prenom", "voornaam", "imie")
# A link of the person or of the company: the values tell.
LINK_WORDS = ("url", "link", "profile", "profile link", "web")
# What may stand before a field's name: "Person - Email", "Contact: Phone".
PREFIXES = ("person", "contact", "prospect", "kontakt", "user")
# Headers that mean something else at some tools.
AMBIGUOUS = frozenset(
    {"title", "position", "role", "job", "contact", "person", "account", "domain", "site", "description", "score",
     "source", "sms", "first", "last", "land", "web page", "lead name", "label", "mail", "profile url", "user email"}
)  # fmt: skip
SALUTATIONS = frozenset((
    "mr", "mrs", "ms", "miss", "mx", "dr", "prof", "professor", "sir", "madam", "rev", "hon", "herr", "frau", "hr",
    "fr", "dipl", "ing", "m", "mme", "mlle", "me", "monsieur", "madame", "mademoiselle", "sr", "sra", "srta", "senor",
    "senora", "don", "dona", "dra", "sig", "sigra", "ra", "sigg", "signor", "signora", "dott", "dottssa", "dhr", "mevr",
    "mw", "heer", "mevrouw", "de", "pan", "pani", "mgr", "mag", "med", "phil",
))  # fmt: skip
PLACES = {header: (field, place) for field, headers in SYNONYMS.items() for place, header in enumerate(headers)}


def normalised(header: str) -> str:
    """A header without case, accents, punctuation: ``E-Mail_Adresse`` and ``e mail adresse`` are the same."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", header).replace("ł", "l").replace("Ł", "L")
    plain = "".join(c for c in unicodedata.normalize("NFKD", spaced) if not unicodedata.combining(c))
    words = " ".join(re.findall(r"[^\W_]+", plain.casefold()))
    return words.replace("linked in", "linkedin").replace("zoom info", "zoominfo").replace("hub spot", "hubspot")


def is_known(header: str) -> bool:
    """Whether the automatic mapping knows this name."""
    name = normalised(header)
    return name in NAME_WORDS or place_of(name) is not None


def place_of(name: str) -> tuple[str, int] | None:
    """Field and rank of a normalised header, also of one with a word like "person" before it."""
    if name in PLACES:
        return PLACES[name]
    prefix, _, rest = name.partition(" ")
    if prefix in PREFIXES and rest in PLACES:
        field, place = PLACES[rest]
        return field, place + len(SYNONYMS[field])
    return None
