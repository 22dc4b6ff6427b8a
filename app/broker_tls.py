"""Who we are and whom we believe at a broker over ``mqtts://``."""

import ssl

from app.config import Settings, SettingsError


def broker_tls(settings: Settings) -> ssl.SSLContext:
    """Return TLS 1.3 with our certificate, if we have one; the broker's name is always checked.

    Raises:
        SettingsError: a file is not there or is no certificate or key.
    """
    try:
        context = ssl.create_default_context(
            cafile=str(settings.mqtt_ca) if settings.mqtt_ca is not None else None
        )
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if settings.mqtt_cert is not None:
            context.load_cert_chain(settings.mqtt_cert, settings.mqtt_key)
    except OSError as error:
        raise SettingsError(
            "AQKOL_MQTT_CA, AQKOL_MQTT_CERT or AQKOL_MQTT_KEY cannot be used: "
            f"{error.strerror or error}."
        ) from error
    return context
