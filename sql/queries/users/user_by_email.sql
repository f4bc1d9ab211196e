-- name: user_by_email
-- purpose: The pk of the user with an email address
-- parameters: $1 email text: the address, compared letter by letter
-- result: pk bigint; one row, or none where there is no such user
select account.id::bigint as pk
from db_dbuser as account
where account.email = $1::text
