"""WhatsApp through Twilio: free text within a day of the person's own, and outside that day a neutral template alone."""

from __future__ import annotations

from datetime import timedelta

from bot.channels.twilio_sms import WHATSAPP, TwilioSettings, TwilioSms
from bot.messages import Rate, TransportError


class TwilioWhatsapp(TwilioSms):
    """The channel ``whatsapp``. Addresses are ``whatsapp:+44…``, or ``whatsapp:`` and an id of WhatsApp's own without a number.

    Answers are numbers, as on SMS: WhatsApp's buttons are templates at Twilio, too, and would have to be made there question by
    question. Lengths are characters, never segments.
    """

    name = "whatsapp"
    path = "/whatsapp"
    needs_start_word = False  # who writes has unblocked us
    # A little less than WhatsApp's 24 hours, so that a text that goes out at the last minute arrives before the last second.
    window = timedelta(hours=23, minutes=55)

    def __init__(self, settings: TwilioSettings, public_url: str, timeout: float = 10.0) -> None:
        super().__init__(settings, public_url, timeout)
        self.number = settings.whatsapp_number or settings.number
        self.rate = self._rate(settings)
        self._templates = settings.templates

    def invite(self, address: str, language: str | None) -> str:
        """Send the neutral template, in their language if it can be, and return its MessageSid. Raises TransportError.

        Nothing is filled into it: what an operator has had approved is the whole text, whoever gets it. ``refused``: there is no
        template, or WhatsApp does not let it pass.
        """
        content_sid = self._template(language or "")
        if content_sid is None:
            raise TransportError("refused", "no template")
        return self._create(address, content_sid=content_sid)

    def _template(self, language: str) -> str | None:
        wanted = (language, language.partition("-")[0], "en")
        return next((self._templates[one] for one in wanted if one in self._templates), None)

    def _rate(self, settings: TwilioSettings) -> Rate:
        return Rate(f"{self.name} {self.number}", settings.whatsapp_messages_per_second)

    def _sender(self) -> dict[str, str]:
        sender = super()._sender()
        return {"from_": WHATSAPP + sender["from_"]} if "from_" in sender else sender
