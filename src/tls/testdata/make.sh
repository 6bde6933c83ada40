#!/bin/sh
# Makes the test keys and certificates that the tests cannot make themselves: forms and kinds that are refused, and RSA.
# They protect nothing. Run in this directory, with OpenSSL 3.
set -eu
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa2048.pkcs8.pem
openssl pkey -in rsa2048.pkcs8.pem -traditional -out rsa2048.pkcs1.pem
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out p256.pkcs8.pem
openssl ec -in p256.pkcs8.pem -out p256.sec1.pem
openssl pkcs8 -topk8 -in p256.pkcs8.pem -passout pass:secret -out encrypted.pkcs8.pem
openssl pkey -in rsa2048.pkcs8.pem -traditional -aes-256-cbc -passout pass:secret -out encrypted.pkcs1.pem
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out p521.pkcs8.pem
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out rsa1024.pkcs8.pem
for name in p521 rsa1024; do
    openssl req -x509 -new -key $name.pkcs8.pem -days 36500 -subj "/CN=$name" -out $name.cert.pem \
        -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE
done
openssl req -new -key p256.pkcs8.pem -subj /CN=sha1 -out request.pem
printf 'subjectAltName=DNS:localhost\n' >extensions
openssl req -x509 -new -key rsa2048.pkcs8.pem -days 36500 -subj "/CN=SHA-1 authority" -out authority.pem
openssl x509 -req -in request.pem -CA authority.pem -CAkey rsa2048.pkcs8.pem -set_serial 1 -sha1 -days 36500 \
    -extfile extensions -out sha1.cert.pem
openssl x509 -req -in request.pem -CA authority.pem -CAkey rsa2048.pkcs8.pem -set_serial 2 -days 36500 -out v1.cert.pem
rm request.pem extensions authority.pem
